# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol import connect_response
from vpn_frontend.protocol.client_family import ClientFamily
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.protocol.connect_response import (
    TunnelGrant,
    carries_ipv6,
    negotiate_mtu,
    render_connect_headers,
    render_connect_lines,
)
from vpn_frontend.settings import NetworkSettings, SessionSettings

GRANT = TunnelGrant(IPv4Address("192.168.99.2"), IPv6Address("fd00:99::2"), 1400, None, 90)
REQUEST = TunnelRequest(family=ClientFamily.OPENCONNECT, full_ipv6=True)
NETWORK = NetworkSettings(dns=(IPv4Address("192.168.99.1"),))


def render(grant=GRANT, request=REQUEST, network=NETWORK, session=None, *, tls13=True):
    headers = render_connect_headers(
        grant, request, network, session or SessionSettings(), outer_ipv6=False, tls13=tls13
    )
    found = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def test_the_whole_set_is_there_in_the_case_that_clients_compare():
    headers = render()
    for name in (
        "Version", "Server-Name", "Address", "Netmask", "Address-IP6", "DNS", "Keep", "Tunnel-All-DNS", "DPD",
        "Client-Bypass-Protocol", "Idle-Timeout", "Disconnected-Timeout", "Session-Timeout", "Rekey-Time", "Keepalive",
        "Session-Timeout-Alert-Interval", "Session-Timeout-Remaining", "TCP-Keepalive", "License", "Base-MTU",
        "Smartcard-Removal-Disconnect", "Rekey-Method", "MTU",
    ):  # fmt: skip
        assert len(headers[f"X-CSTP-{name}"]) == 1
    assert headers["X-CSTP-MTU"] == ["1400"]
    assert headers["X-CSTP-Base-MTU"] == ["1466"]
    assert headers["X-CSTP-Address-IP6"] == ["fd00:99::2/64"]
    assert headers["X-CSTP-Netmask"] == ["255.255.255.0"]
    assert headers["X-CSTP-Idle-Timeout"] == ["none"]


def test_a_client_without_full_ipv6_gets_the_old_headers():
    headers = render(request=replace(REQUEST, full_ipv6=False))
    assert headers["X-CSTP-Address"] == ["192.168.99.2", "fd00:99::2"]
    assert headers["X-CSTP-Netmask"] == ["255.255.255.0", "fd00:99::/64"]
    assert "X-CSTP-Address-IP6" not in headers


def test_dns_servers_are_spelled_for_each_family_of_clients():
    network = replace(
        NETWORK, dns=(IPv4Address("192.0.2.53"), IPv6Address("2001:db8::53")), split_dns=("a.test", "b.test")
    )
    assert render(network=network)["X-CSTP-DNS"] == ["192.0.2.53", "2001:db8::53"]
    cisco = render(request=replace(REQUEST, family=ClientFamily.ANYCONNECT), network=network)
    assert (cisco["X-CSTP-DNS"], cisco["X-CSTP-DNS-IP6"]) == (["192.0.2.53"], ["2001:db8::53"])
    assert cisco["X-CSTP-Split-DNS"] == ["a.test", "b.test"]
    assert cisco["X-CSTP-Tunnel-All-DNS"] == ["false"]


def test_what_is_set_beside_routes_and_servers():
    network = replace(
        NETWORK,
        routes=(ip_network("10.0.0.0/8"),),
        nbns=(IPv4Address("10.0.0.5"),),
        tunnel_all_dns=True,
        client_bypass_protocol=True,
        dynamic_include=("a.test", "b.test"),
        dynamic_exclude=("c.test",),
        proxy_pac_url="http://proxy.test/x.pac",
    )
    headers = render(network=network)
    assert headers["X-CSTP-NBNS"] == ["10.0.0.5"]
    assert headers["X-CSTP-Tunnel-All-DNS"] == ["true"]
    assert headers["X-CSTP-Client-Bypass-Protocol"] == ["true"]
    assert headers["X-CSTP-MSIE-Proxy-Pac-URL"] == ["http://proxy.test/x.pac"]
    document = fromstring(headers["X-CSTP-Post-Auth-XML"][0].encode())
    found = {element.tag: element.text for element in document.find(".//custom-attr")}
    assert found == {
        "dynamic-split-include-domains": "a.test,b.test,",
        "dynamic-split-exclude-domains": "c.test,",
    }
    plain = render()
    assert plain["X-CSTP-Client-Bypass-Protocol"] == ["false"]
    assert not {"X-CSTP-NBNS", "X-CSTP-MSIE-Proxy-Pac-URL", "X-CSTP-Post-Auth-XML"} & plain.keys()


def test_routes_of_the_families_that_the_tunnel_carries():
    network = replace(
        NETWORK,
        routes=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        no_routes=(ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48")),
    )
    headers = render(network=network)
    assert headers["X-CSTP-Split-Include"] == ["10.0.0.0/255.0.0.0"]
    assert headers["X-CSTP-Split-Include-IP6"] == ["2001:db8::/32"]
    assert headers["X-CSTP-Split-Exclude"] == ["10.1.0.0/255.255.0.0"]
    assert headers["X-CSTP-Split-Exclude-IP6"] == ["2001:db8:1::/48"]
    only4 = render(grant=replace(GRANT, ipv6=None), network=network)
    assert "X-CSTP-Split-Include-IP6" not in only4
    assert "X-CSTP-Address-IP6" not in only4
    for silent in (replace(REQUEST, full_ipv6=False), replace(REQUEST, family=ClientFamily.OPENCONNECT_3)):
        found = render(request=silent, network=replace(network, dns=(IPv6Address("2001:db8::1"),)))
        assert not {"X-CSTP-Split-Include-IP6", "X-CSTP-Split-Exclude-IP6", "X-CSTP-DNS"} & found.keys()
    apple = render(request=replace(REQUEST, apple=True), network=network)
    assert apple["X-CSTP-Split-Include-IP6"] == ["2001:db8::/32", "2000::/3"]
    assert render(request=replace(REQUEST, apple=True))["X-CSTP-Split-Include-IP6"] == ["2000::/3"]


def test_there_is_always_a_rekey_method():
    assert render(tls13=True)["X-CSTP-Rekey-Method"] == ["ssl"]
    assert render(tls13=True)["X-CSTP-Rekey-Time"] == ["31536000"]
    assert render(tls13=False)["X-CSTP-Rekey-Method"] == ["new-tunnel"]
    assert render(tls13=False)["X-CSTP-Rekey-Time"] == ["172800"]
    never = render(tls13=False, session=SessionSettings(rekey_time=0))
    assert never["X-CSTP-Rekey-Time"] == ["31536000"]


def test_the_time_left_counts_from_the_login():
    headers = render(grant=replace(GRANT, remaining=100), session=SessionSettings(session_timeout=3600))
    assert headers["X-CSTP-Session-Timeout"] == ["3600"]
    assert headers["X-CSTP-Session-Timeout-Remaining"] == ["100"]


@pytest.mark.parametrize(
    ("base", "mtu", "outer_ipv6", "expected"),
    [
        (1500, 1406, False, 1400),
        (1500, 1406, True, 1400),
        (1400, None, False, 1334),
        (1400, None, True, 1314),
        (800, 1400, False, 800),
        (None, 1300, False, 1300),
        (None, None, False, 1400),
        (16384, 16384, False, 1400),
    ],
)
def test_the_smallest_mtu_wins(base, mtu, outer_ipv6, expected):
    assert negotiate_mtu(1400, TunnelRequest(base_mtu=base, mtu=mtu), outer_ipv6=outer_ipv6) == expected


@given(st.none() | st.integers(800, 16384), st.none() | st.integers(800, 16384), st.booleans(), st.integers(800, 9000))
def test_no_mtu_leaves_its_bounds(base, mtu, outer_ipv6, configured):
    result = negotiate_mtu(configured, TunnelRequest(base_mtu=base, mtu=mtu), outer_ipv6=outer_ipv6)
    assert 800 <= result <= configured


def test_ipv6_needs_its_1280_bytes():
    assert carries_ipv6(1280)
    assert not carries_ipv6(1279)


def test_the_client_s_host_name_is_repeated_unless_there_is_none():
    assert render(grant=replace(GRANT, hostname="laptop"))["X-CSTP-Hostname"] == ["laptop"]
    assert "X-CSTP-Hostname" not in render()


@pytest.mark.parametrize(
    ("mobile", "mobile_idle", "shown"), [(False, 7200, "1800"), (True, 7200, "7200"), (True, 0, "1800")]
)
def test_mobile_clients_may_have_another_idle_timeout(mobile, mobile_idle, shown):
    session = SessionSettings(idle_timeout=1800, mobile_idle_timeout=mobile_idle)
    assert render(request=replace(REQUEST, mobile=mobile), session=session)["X-CSTP-Idle-Timeout"] == [shown]


@pytest.mark.parametrize("tls13", [False, True])
def test_rekeying_by_a_new_tunnel_is_announced_with_its_time(tls13):
    headers = render(tls13=tls13, session=SessionSettings(rekey_time=600, rekey_method="new-tunnel"))
    assert (headers["X-CSTP-Rekey-Method"], headers["X-CSTP-Rekey-Time"]) == (["new-tunnel"], ["600"])


def test_lines_are_kept_and_bounded():
    for number in range(2 * connect_response.MAX_KEPT):
        session = SessionSettings(keepalive=number + 1)
        for dpd in (30, 60, 30):
            arguments = (replace(GRANT, dpd=dpd), REQUEST, NETWORK, session)
            lines = render_connect_lines(*arguments, outer_ipv6=False, tls13=number % 2 == 0)
            assert f"X-CSTP-Keepalive: {number + 1}\r\n" in lines
            assert f"X-CSTP-DPD: {dpd}\r\n" in lines
        assert 0 < len(connect_response._kept) <= connect_response.MAX_KEPT


GRANTS = st.builds(
    TunnelGrant,
    st.none() | st.ip_addresses(v=4),
    st.none() | st.ip_addresses(v=6),
    st.sampled_from([1280, 1400]),
    st.none() | st.integers(1, 3),
    st.sampled_from([0, 90]),
    hostname=st.sampled_from(["", "laptop", "phone"]),
    exposed=st.sampled_from([(), (ip_network("10.7.0.0/16"),)]),
)
REQUESTS = st.builds(
    TunnelRequest,
    family=st.sampled_from(ClientFamily),
    full_ipv6=st.booleans(),
    mobile=st.booleans(),
    apple=st.booleans(),
)
NETWORKS = [
    NETWORK,
    replace(NETWORK, routes=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")), default_domain="corp.test"),
    replace(NETWORK, dns=(IPv6Address("2001:db8::53"),), ipv6_pool=None),
]
SESSIONS = [SessionSettings(), SessionSettings(session_timeout=3600, mobile_idle_timeout=7, idle_timeout=9)]


@given(
    st.lists(
        st.tuples(GRANTS, REQUESTS, st.sampled_from(NETWORKS), st.sampled_from(SESSIONS), st.booleans(), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_the_lines_are_those_of_the_headers(clients):
    """Also of a client that comes after others of its kind."""
    for *arguments, outer_ipv6, tls13 in clients:
        headers = render_connect_headers(*arguments, outer_ipv6=outer_ipv6, tls13=tls13)
        lines = render_connect_lines(*arguments, outer_ipv6=outer_ipv6, tls13=tls13)
        assert lines == "".join(f"{name}: {value}\r\n" for name, value in headers)


@pytest.mark.parametrize("hostname", ["a\r\nX-CSTP-MTU: 1", "a\n", "a\r", "a\0"])
@pytest.mark.parametrize("others", [[], ["laptop"]], ids=["first", "after another"])
def test_a_host_name_cannot_add_a_line(hostname, others):
    """The lines of a client's kind are kept, and its own texts are put between them."""
    connect_response._kept.clear()
    sides = {"outer_ipv6": False, "tls13": True}
    for other in others:
        render_connect_lines(replace(GRANT, hostname=other), REQUEST, NETWORK, SESSIONS[0], **sides)
    with pytest.raises(ValueError, match="end of a line"):
        render_connect_lines(replace(GRANT, hostname=hostname), REQUEST, NETWORK, SESSIONS[0], **sides)
