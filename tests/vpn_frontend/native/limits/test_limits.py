# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of sessions in the running gateway: routes, ports, bandwidth, quota; set at the start and changed live."""

from __future__ import annotations

import struct
from ipaddress import ip_network

import pytest

from vpn_frontend.gateway.limits import IpProtocol, PortRange, Restriction, TunnelLimits

UDP, TCP = 17, 6
SYN, ACK = 0x02, 0x10
INSIDE4, INSIDE6 = "10.1.2.3", "2001:db8:1::3"
ROUTES = Restriction(
    networks=(ip_network("10.1.0.0/16"), ip_network("192.0.2.7/32"), ip_network("2001:db8:1::/48")),
    except_networks=(ip_network("10.1.9.0/24"),),
)
HTTPS = Restriction(ports=(PortRange(IpProtocol.TCP, 443, 443),))


def datagram(source_port, port, size=32):
    return struct.pack("!HHHH", source_port, port, 8 + size, 0) + b"u" * size


def segment(source_port, port, flags=ACK):
    return struct.pack("!HHIIBBHHH", source_port, port, 1, 1, 0x50, flags, 500, 0, 0) + b"t" * 12


class Tunnel:
    """A tunnel with limits. ``up`` and ``down`` tell whether a packet passes, by a marker behind it that does."""

    def __init__(self, bench, wire, limits, marker4, **options):
        self.bench, self.wire = bench, wire
        self.client, self.session = bench.tunnel(limits=limits, **options)
        self._marker4 = marker4

    def up(self, packet):
        marker = self.wire.ipv4(self.wire.own4, *self._marker4(up=True))
        for item in (packet, marker):
            self.client.send(self.wire.frame(self.wire.data, item))
        got = self.bench.tun[0].recv(65536)
        if got == marker:
            return False
        assert (got, self.bench.tun[0].recv(65536)) == (packet, marker)
        return True

    def down(self, packet):
        source, *rest = self._marker4(up=False)
        marker = self.wire.ipv4(source, self.wire.own4, *rest)
        for item in (packet, marker):
            self.bench.tun[0].send(item)
        _, got = self.client.read_frame()
        if got == marker:
            return False
        assert (got, self.client.read_frame()[1]) == (packet, marker)
        return True

    def stats(self):
        names = [
            f"{way}_{why}" for way in ("rx", "tx") for why in ("outside_routes", "port_refused", "fragment_refused")
        ]
        stats = self.bench.gateway.stats()
        return {name: stats[name] for name in names if stats[name]}


@pytest.fixture
def routed(bench, wire):
    return Tunnel(bench, wire, TunnelLimits(ROUTES), lambda up: (INSIDE4, b"marker"))


@pytest.fixture
def https(bench, wire):
    return Tunnel(
        bench,
        wire,
        TunnelLimits(HTTPS),
        lambda up: (INSIDE4, segment(9, 443) if up else segment(443, 9), *[]),
    )


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("10.1.0.0", True), ("10.1.255.255", True), ("10.0.255.255", False), ("10.2.0.0", False), ("10.1.9.1", False),
        ("192.0.2.6", False), ("192.0.2.7", True), ("192.0.2.8", False), ("2001:db8:1::", True),
        ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", True), ("2001:db8:2::", False), ("2001:db8:0:ffff::1", False),
    ],
)  # fmt: skip
def test_only_routes_are_reached_and_reach_the_client(routed, wire, address, passes):
    build, own = (wire.ipv6, wire.own6) if ":" in address else (wire.ipv4, wire.own4)
    assert routed.up(build(own, address)) is passes
    assert routed.down(build(address, own)) is passes
    assert routed.stats() == ({} if passes else {"rx_outside_routes": 1, "tx_outside_routes": 1})
    counters = routed.bench.gateway.counters(routed.session)
    assert (counters.rx_dropped, counters.tx_dropped) == ((0, 0) if passes else (1, 1))
