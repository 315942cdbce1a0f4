# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual hosts with the real client, which sends the host of its URL as SNI.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from lab.authority import Authority
from lab.certificates import make_certificate
from lab.network import SERVER_IPV4

NAME = "staff.example.org"
POOL = ip_network("10.99.0.0/28")


@pytest.fixture
def staff(tmp_path):
    """The certificate of the host."""
    folder = tmp_path / "staff"
    folder.mkdir()
    return make_certificate(folder)


def test_a_host_has_its_own_certificate_methods_groups_and_pool(lab, tmp_path, staff):
    authority = Authority(tmp_path / "ca")
    server = lab.serve(
        settings={
            "vpn": {"dtls": True},
            "[vpn.host]": {"name": NAME, "groups": ["staff"]},
            "vpn.host.auth": {"methods": ["certificate"], "certificate_ca": str(authority.file)},
            "vpn.host.network": {"ipv4_pool": str(POOL), "ipv6_pool": ""},
            "[vpn.host.certificates]": {"certificate": str(staff.chain), "private_key": str(staff.key)},
        },
        builtin_limits=False,
    )
    server.api.expect(200, "PATCH", "/api/v1/users/alice", {"groups": ["staff"]})
    host, resolve = lab.host(), f"--resolve={NAME}:{SERVER_IPV4}"
    alice, bob = (authority.issue(name).arguments for name in ("alice", "bob"))

    at_host = server.connect(host, resolve, *alice, server=NAME, pin=staff.pin, dtls=True)
    assert ip_address(at_host.await_up().ipv4) in POOL
    at_host.await_dtls()
    assert at_host.ping("10.99.0.1") == 1.0
    own = server.connect(host, user="bob")
    assert ip_address(own.await_up().ipv4) not in POOL
    own.goodbye()
    at_host.goodbye()

    without = server.connect(host, resolve, server=NAME, pin=staff.pin)
    assert without.await_exit() != 0
    assert "needs a client certificate" in without.output
    outsider = server.connect(host, resolve, *bob, server=NAME, pin=staff.pin)
    assert outsider.await_exit() != 0
    assert "not a member of a group that may log in here" in outsider.output
    assert server.sessions() == []
