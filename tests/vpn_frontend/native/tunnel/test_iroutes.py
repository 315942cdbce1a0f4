# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind clients in the running gateway: packets from them, to them, and between clients."""

from __future__ import annotations

import select
from ipaddress import IPv4Address, ip_network

import pytest

from lab.timeouts import TIMEOUT

BEHIND4, BEHIND6 = "10.30.0.7", "fd30::7"
IROUTES = (ip_network("10.30.0.0/24"), ip_network("fd30::/64"))


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def bench(start, request):
    return start(workers=request.param)


def sent(bench, wire, client, packet):
    """True if a packet of the client reaches the TUN queue; it stays on the worker of its session."""
    marker = wire.ipv4(wire.own4, wire.outside4, b"marker")
    for item in (packet, marker):
        client.send(wire.frame(wire.data, item))
    got = read_tun(bench)
    if got != marker:
        assert (got, read_tun(bench)) == (packet, marker)
    return got == packet


def read_tun(bench):
    readable, _, _ = select.select(bench.tun, [], [], TIMEOUT)
    return readable[0].recv(65536)


def test_packets_from_and_to_a_network_behind_a_client_pass(bench, wire):
    client, session = bench.tunnel(iroutes=IROUTES)
    assert sent(bench, wire, client, wire.ipv4(BEHIND4, wire.outside4))
    assert sent(bench, wire, client, wire.ipv6(BEHIND6, wire.outside6))
    for packet in (wire.ipv4(wire.outside4, BEHIND4), wire.ipv6(wire.outside6, BEHIND6)):
        for queue in bench.tun:
            queue.send(packet)
            assert client.read_frame() == (wire.data, packet)
    assert not sent(bench, wire, client, wire.ipv4("10.30.1.7", wire.outside4)), "one address beside it"
    assert not sent(bench, wire, client, wire.ipv4(BEHIND4, "10.30.0.8")), "it would come back"
    bench.gateway.close_session(session, b"")
    bench.settle()
    bench.tun[0].send(wire.ipv4(wire.outside4, BEHIND4))
    assert bench.wait_stat("tx_no_session") == 1


def test_a_network_belongs_to_one_session(bench, wire):
    one, _ = bench.tunnel(iroutes=IROUTES)
    other, _ = bench.tunnel(ipv4=wire.other4, ipv6=None)
    other.send(wire.frame(wire.data, wire.ipv4(BEHIND4, wire.outside4)))
    assert bench.wait_stat("rx_spoofed") == 1
    later, _ = bench.tunnel(ipv4=IPv4Address("10.0.0.9"), ipv6=None, iroutes=IROUTES[:1])
    packet = wire.ipv4(wire.outside4, BEHIND4)
    bench.tun[0].send(packet)
    assert later.read_frame() == (wire.data, packet)
    one.send(wire.frame(wire.data, wire.ipv4(BEHIND4, wire.outside4)))
    assert bench.wait_stat("rx_spoofed", 2) == 2


@pytest.mark.parametrize("exposed", [True, False])
def test_other_clients_reach_what_is_exposed(bench, wire, exposed):
    site, _ = bench.tunnel(iroutes=IROUTES, iroutes_exposed=exposed)
    client, _ = bench.tunnel(ipv4=wire.other4, ipv6=None)
    there, back = wire.ipv4(wire.other4, BEHIND4), wire.ipv4(BEHIND4, wire.other4)
    for sender, packet in ((client, there), (site, back)):
        sender.send(wire.frame(wire.data, packet))
        if exposed:
            assert read_tun(bench) == packet
    site.send(wire.frame(wire.data, wire.ipv4(wire.own4, wire.other4)))
    refused = 1 if exposed else 3
    assert bench.wait_stat("rx_client_to_client", refused) == refused, "the clients themselves stay apart"
