# SPDX-License-Identifier: GPL-3.0-or-later
"""A client with the right password gets a tunnel that carries IPv4, IPv6 and every byte.

host ── eth0 10.77.1.2 ─────────── v1 ── gateway 10.77.0.1
  └── tun0 192.168.99.x ═ TLS ═ ocs0 192.168.99.1
"""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network

import pytest

from lab.network import SERVER_IPV6
from lab.server import INNER_IPV4, INNER_IPV6
from lab.timeouts import eventually
from lab.traffic.transfer import transfer

# Bytes each way. 1 GB takes some 20 s on two cores; run that after a change of the data path.
TRANSFER_BYTES = int(os.environ.get("OCSENTRY_TRANSFER_BYTES", "268435456"))


def test_connects_and_pings_inside_over_both_families(lab):
    server = lab.serve()
    host = lab.host()
    client = server.connect(host)
    inside = client.await_up()
    assert ip_address(inside.ipv4) in ip_network("192.168.99.0/24")
    assert ip_address(inside.ipv6) in ip_network("fd00:99::/64")
    assert inside.mtu <= 1400
    assert inside.dns == INNER_IPV4
    assert client.ping(INNER_IPV4) == 1.0
    assert client.ping(INNER_IPV6) == 1.0
    assert client.ping(INNER_IPV4, size=inside.mtu - 28, count=5) == 1.0, "a full packet each"
    (session,) = server.sessions()
    assert (session["user"], session["address"]) == ("alice", host.ipv4)
    assert (session["ipv4"], session["ipv6"]) == (inside.ipv4, inside.ipv6)
    assert session["state"] == "connected"
    (device,) = eventually(lambda: server.api.get("/api/v1/users/alice/devices")["items"], len, "its device is noted")
    assert device["platform"] == session["device"]["platform"] != ""
    assert (device["hostname"], device["user_agent"]) == (session["hostname"], session["user_agent"])
    assert (device["address"], device["sessions"]) == (host.ipv4, [session["id"]])
    client.goodbye()
    server.await_sessions(0)


def test_outside_over_ipv6(lab):
    server = lab.serve()
    host = lab.host()
    client = server.connect(host, server=SERVER_IPV6)
    client.await_up()
    assert client.ping(INNER_IPV4) == client.ping(INNER_IPV6) == 1.0
    assert server.sessions()[0]["address"] == host.ipv6


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_bytes_arrive_unchanged_both_ways(lab, family):
    server = lab.serve()
    host = lab.host()
    inside = server.connect(host).await_up()
    theirs, ours = (inside.ipv4, INNER_IPV4) if family == "ipv4" else (inside.ipv6, INNER_IPV6)
    for source, sink, address in (
        (host.namespace, lab.network.gateway, ours),
        (lab.network.gateway, host.namespace, theirs),
    ):
        moved = transfer(source, sink, address, TRANSFER_BYTES)
        assert moved.size == TRANSFER_BYTES
        assert moved.received == moved.sent
    counters = server.sessions()[0]["counters"]
    assert counters["rx_bytes"] > TRANSFER_BYTES
    assert counters["tx_bytes"] > TRANSFER_BYTES


def test_two_clients_have_their_own_addresses_and_do_not_reach_each_other(lab):
    server = lab.serve()
    first, second = (server.connect(lab.host(), user=user) for user in ("alice", "bob"))
    there, here = first.await_up(), second.await_up()
    assert there.ipv4 != here.ipv4
    assert there.ipv6 != here.ipv6
    assert first.ping(INNER_IPV4) == second.ping(INNER_IPV4) == 1.0
    assert first.ping(here.ipv4, count=2, timeout=1) == 0.0


def test_wrong_password_is_told(lab):
    server = lab.serve()
    client = server.connect(lab.host(), password="wrong")
    assert client.await_exit() != 0
    assert client.find(r"(?i)(login|authentication|password).*(fail|incorrect|wrong|invalid)|(fail|wrong).*password")
    assert not client.find("vpnc-script: connect")
    assert server.sessions() == []


def test_unknown_user_is_told_the_same_as_a_wrong_password(lab):
    server = lab.serve()
    host = lab.host()
    texts = []
    for user in "alice", "nobody":
        client = server.connect(host, user=user, password="wrong")
        assert client.await_exit() != 0
        texts.append(client.output)
    assert texts[0] == texts[1]


def test_reconnect_with_the_cookie_keeps_the_address(lab):
    server = lab.serve(settings={"vpn.session": {"cookie_timeout": 300}})
    host = lab.host()
    client = server.connect(host)
    before = client.await_up()
    (session,) = server.sessions()
    reset_connections(host)
    client.await_reconnected()
    assert client.ping(before.ipv4) == 1.0
    assert client.ping(INNER_IPV4) == 1.0
    (after,) = server.sessions()
    assert (after["id"], after["ipv4"], after["ipv6"]) == (session["id"], before.ipv4, before.ipv6)
    assert server.leases() == 1


def reset_connections(host):
    """Kills every TCP connection of the host, as behind a NAT that lost its table."""
    host.namespace.run("ss", "--kill", "--tcp", "state", "established", "dport", "=", ":443")
