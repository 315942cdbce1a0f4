# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocsentry.user_files.settings_file import MAX_BYTES, SettingsSyntaxError, parse_entries, read_settings
from vpn_frontend.settings import PortRule

ALL = b"""
# every key that ocserv reads in such a file and this server has
no-udp = true
restrict-user-to-routes = yes
tunnel-all-dns = true
deny-roaming = true
route = 10.0.0.0/8
route = 192.168.7.1
route = 10.9.0.0/255.255.0.0
no-route = 10.1.0.0/16
iroute = 10.30.0.0/24
iroute = 10.31.0.0/24
dns = 192.0.2.53
ipv6-dns = 2001:db8::53
nbns = 192.0.2.54
split-dns = example.com
split-dns = example.org
explicit-ipv4 = 192.168.99.40
explicit-ipv6 = fd00:99::40
hostname = laptop-7
rx-data-per-sec = 40000
tx-data-per-sec = 50000
session-timeout = 86400
mtu = 1300
dpd = 60
mobile-dpd = 300
idle-timeout = 1200
mobile-idle-timeout = 2400
keepalive = 30000
max-same-clients = 3
"""


def overrides(data, below=b""):
    return read_settings(parse_entries(data), parse_entries(below)).overrides


def test_every_key_becomes_a_setting():
    assert overrides(ALL) == {
        "network": {
            "restrict_to_routes": True,
            "tunnel_all_dns": True,
            "routes": (ip_network("10.0.0.0/8"), ip_network("192.168.7.1/32"), ip_network("10.9.0.0/16")),
            "no_routes": (ip_network("10.1.0.0/16"),),
            "iroutes": (ip_network("10.30.0.0/24"), ip_network("10.31.0.0/24")),
            "dns": (ip_address("192.0.2.53"), ip_address("2001:db8::53")),
            "nbns": (ip_address("192.0.2.54"),),
            "split_dns": ("example.com", "example.org"),
            "mtu": 1300,
        },
        "bandwidth": {"from_client": 40000, "to_client": 50000},
        "session": {
            "dtls": False,
            "deny_roaming": True,
            "session_timeout": 86400,
            "dpd": 60,
            "mobile_dpd": 300,
            "idle_timeout": 1200,
            "mobile_idle_timeout": 2400,
            "keepalive": 30000,
        },
        "limits": {"max_same_clients": 3},
        "static_ipv4": ip_address("192.168.99.40"),
        "static_ipv6": ip_address("fd00:99::40"),
        "hostname": "laptop-7",
    }


def test_ports_restrict_to_routes_too():
    found = overrides(b"restrict-user-to-ports = tcp(443), icmp()\n")
    assert found == {
        "network": {"restrict_to_ports": (PortRule("tcp", 443, 443), PortRule("icmp")), "restrict_to_routes": True}
    }


@pytest.mark.parametrize("route", ["default", "0.0.0.0/0"])
def test_a_default_route_empties_the_list(route):
    assert overrides(f"route = 10.0.0.0/8\nroute = {route}\n".encode()) == {"network": {"routes": ()}}


@pytest.mark.parametrize(
    ("data", "pool"), [(b"ipv4-network = 10.9.9.0/16\n", "10.9.0.0/16"),
                       (b"ipv4-netmask = 255.255.255.0\nipv4-network = 10.9.9.0\n", "10.9.9.0/24")],
)  # fmt: skip
def test_a_pool_of_its_own(data, pool):
    assert overrides(data) == {"network": {"ipv4_pool": ip_network(pool)}}


def test_values_of_the_user_replace_those_of_the_group_and_lists_are_joined():
    group = b"mtu = 1300\ndpd = 50\nroute = 10.0.0.0/8\ndns = 192.0.2.1\n"
    found = overrides(b"mtu = 1200\nroute = 192.168.0.0/16\n", group)
    assert found == {"network": {"mtu": 1200, "routes": (ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16"))}}
    assert overrides(b"", group) == {}


def test_what_has_no_effect_is_remarked():
    read = read_settings(
        parse_entries(b"banner = hello\nnet-priority = 3\nroute = 10.0.0.1/8\ndpd = 10s\nno-udp = 1\n")
    )
    assert read.remarks == (
        "line 1: banner is no key of this file",
        "line 2: net-priority has no effect on this server",
        "line 3: route: 10.0.0.1/8 is read as 10.0.0.0/8",
        "line 4: dpd: ocserv reads '10s' as 10",
        "line 5: no-udp: ocserv reads '1' as off: write true or false",
    )
    assert read.overrides["session"] == {"dpd": 10, "dtls": True}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no separator\n", "line 1: no separator is not KEY = VALUE"),
        (b"dpd = 1\n[vhost:a]\ndpd = 3\n", "line 3: a section has no place in this file"),
        (b"route = nonsense\n", "line 1: route: 'nonsense' is not a network"),
        (b"\nexplicit-ipv4 = 1.2.3\n", "line 2: explicit-ipv4: "),
        (b"mtu = 10\n", "network.mtu: "),
        (b"hostname = a b\n", "hostname: "),
        (b"dns = local\n", "network.dns.0: "),
        (b"restrict-user-to-ports = tcp[1]\n", "line 1: restrict-user-to-ports: "),
        (b"max-same-clients = -1\n", "line 1: max-same-clients: "),
        (b"dpd = 1\n route = 10.0.0.0/8\n", "line 2: ocserv reads an indented line"),
        (b"x" * 3000, "line 1: the line has more than 2047 bytes"),
        (b"#" * (MAX_BYTES + 1), f"the file has more than {MAX_BYTES} bytes"),
        (b"hostname = \0\n", "line 1: the line holds a NUL"),
    ],
)
def test_a_malformed_file_names_the_line(data, said):
    with pytest.raises(SettingsSyntaxError) as raised:
        overrides(data)
    assert str(raised.value).startswith(said)


KEYS = st.sampled_from(
    ["route", "dns", "mtu", "no-udp", "explicit-ipv4", "ipv4-network", "restrict-user-to-ports", "hostname", "x"]
)


@given(st.lists(st.tuples(KEYS, st.text(max_size=30)), max_size=4))
def test_any_values_are_read_or_refused(pairs):
    data = "".join(f"{key} = {value}\n" for key, value in pairs).encode(errors="replace")
    with suppress(SettingsSyntaxError):
        overrides(data)
