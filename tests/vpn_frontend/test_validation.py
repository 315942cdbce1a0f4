# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_network
from pathlib import Path

import pytest

from vpn_frontend.settings import AuthSettings, Endpoint, VpnSettings
from vpn_frontend.validation import local_networks, validate


def test_good_settings_have_no_problems(make_settings):
    assert validate(make_settings(), host_networks=[ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")]) == []


def test_the_defaults_are_good_but_for_their_files():
    problems = validate(VpnSettings(certificate=Path("/nowhere/server.crt")), host_networks=[])
    assert problems == ["/nowhere/server.crt: No such file or directory"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"network": {"ipv4_pool": None, "ipv6_pool": None}}, "neither"),
        ({"network": {"ipv4_pool": ip_network("10.0.0.0/31")}}, "too small"),
        ({"network": {"ipv6_pool": ip_network("fd00::/127")}}, "too small"),
        ({"network": {"ipv4_pool": ip_network("127.0.0.0/24")}}, "not for hosts"),
        ({"network": {"ipv6_pool": ip_network("ff00::/64")}}, "not for hosts"),
        ({"network": {"mtu": 799}}, "mtu"),
        ({"network": {"mtu": 9001}}, "mtu"),
        ({"network": {"mtu": 1279}}, "IPv6 needs"),
        ({"network": {"device": "a-name-that-is-too-long"}}, "device"),
        ({"network": {"device": "a/b"}}, "device"),
        ({"network": {"device": ""}}, "device"),
        ({"session": {"cookie_timeout": 0}}, "cookie_timeout"),
        ({"worker_threads": 65}, "worker_threads"),
        ({"listen": ()}, "listen"),
        ({"auth": AuthSettings(methods=())}, "auth.methods"),
        ({"auth": AuthSettings(require=("password",))}, "auth.require: password is one of auth.methods already"),
        ({"auth": AuthSettings(methods=("carrier-pigeon",))}, "auth.methods: 'carrier-pigeon' is not one of password"),
    ],
)
def test_each_problem_is_named(make_settings, changes, word):
    [problem] = validate(make_settings(**changes), host_networks=[])
    assert word in problem


@pytest.mark.parametrize("network", ["192.168.0.0/16", "192.168.99.4/30", "fd00:99::/48", "fd00:99::/96"])
def test_a_pool_that_overlaps_with_a_network_of_the_host_is_refused(make_settings, network):
    [problem] = validate(make_settings(), host_networks=[ip_network(network)])
    assert f"overlaps with the network {network}" in problem


def test_a_pool_of_a_group_is_checked_like_the_server_s(make_settings):
    groups = {"guests": {"network": {"ipv4_pool": ip_network("127.0.0.0/31")}}}
    problems = validate(make_settings(groups=groups), host_networks=[ip_network("127.0.0.0/8")])
    assert [problem.partition(":")[0] for problem in problems] == ["groups.guests.network.ipv4_pool"] * 3
    assert [any(word in problem for problem in problems) for word in ("too small", "hosts", "overlaps")] == [True] * 3


def test_the_host_s_own_networks_are_found():
    networks = local_networks("no-such-device")
    assert all(not network.is_loopback and not network.is_link_local for network in networks)


def test_an_endpoint_is_rendered_for_messages():
    assert str(Endpoint(ip_network("::/128")[0], 443)) == "[::]:443"


def test_without_reading_files_no_certificate_is_a_problem(tmp_path):
    """A reload checks settings in a process that cannot read the private key."""
    settings = VpnSettings(certificate=tmp_path / "missing.crt", private_key=tmp_path / "missing.key")
    assert validate(settings, host_networks=()) != []
    assert validate(settings, host_networks=(), read_files=False) == []
