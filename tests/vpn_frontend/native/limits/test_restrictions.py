# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes and ports of a session in the running gateway, set at its start and changed while it lives."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest

from vpn_frontend.gateway.interface import GatewayError, SessionClosed
from vpn_frontend.gateway.limits import NO_LIMITS, IpProtocol, PortRange, Restriction, TunnelLimits

ICMP, TCP, UDP, ESP, NO_NEXT, ICMPV6 = 1, 6, 17, 50, 59, 58
FIN, SYN, ACK = 0x01, 0x02, 0x10
INSIDE4, INSIDE6, OUTSIDE6 = "10.1.2.3", "2001:db8:1::3", "2001:db8:2::3"
MORE = 0x2000
ROUTES = Restriction(
    networks=(ip_network("10.1.0.0/16"), ip_network("192.0.2.7/32"), ip_network("2001:db8:1::/48")),
    except_networks=(ip_network("10.1.9.0/24"),),
)
HTTPS = (PortRange(IpProtocol.TCP, 443, 443),)
MIXED = (
    PortRange(IpProtocol.TCP, 8000, 8100),
    PortRange(IpProtocol.UDP, 53, 53),
    PortRange(IpProtocol.ICMP),
    PortRange(IpProtocol.SCTP, 99, 99),
)


def datagram(source_port, port, size=32):
    return struct.pack("!HHHH", source_port, port, 8 + size, 0) + b"u" * size


def segment(source_port, port, flags=ACK):
    return struct.pack("!HHIIBBHHH", source_port, port, 1, 1, 0x50, flags, 500, 0, 0) + b"t" * 12


class Tunnel:
    """A tunnel with a restriction. ``up`` and ``down`` say whether a packet passes, by a marker that follows it."""

    def __init__(self, bench, wire, restriction):
        self.bench, self.wire = bench, wire
        self.client, self.session = bench.tunnel(limits=TunnelLimits(restriction))
        self._up = wire.ipv4(wire.own4, INSIDE4, segment(7, 443) + b"marker", protocol=TCP)
        self._down = wire.ipv4(INSIDE4, wire.own4, segment(443, 7) + b"marker", protocol=TCP)

    def up(self, packet):
        for item in (packet, self._up):
            self.client.send(self.wire.frame(self.wire.data, item))
        got = self.bench.tun[0].recv(65536)
        if got == self._up:
            return False
        assert (got, self.bench.tun[0].recv(65536)) == (packet, self._up)
        return True

    def down(self, packet):
        for item in (packet, self._down):
            self.bench.tun[0].send(item)
        _, got = self.client.read_frame()
        if got == self._down:
            return False
        assert (got, self.client.read_frame()[1]) == (packet, self._down)
        return True

    def ways(self, protocol, payload, answer, version=4):
        """Whether a packet to a peer passes, and whether its answer does."""
        build, own, peer = (
            (self.wire.ipv4, self.wire.own4, INSIDE4) if version == 4 else (self.wire.ipv6, self.wire.own6, INSIDE6)
        )
        kind = {"protocol" if version == 4 else "header": protocol}
        return self.up(build(own, peer, payload, **kind)), self.down(build(peer, own, answer, **kind))

    def refused(self):
        stats = self.bench.gateway.stats()
        whys = ("outside_routes", "port_refused", "fragment_refused")
        return {name: stats[name] for way in ("rx", "tx") for why in whys if stats[name := f"{way}_{why}"]}


@pytest.fixture
def restricted(bench, wire):
    return lambda restriction: Tunnel(bench, wire, restriction)


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("10.1.0.0", True), ("10.1.255.255", True), ("10.0.255.255", False), ("10.2.0.0", False), ("10.1.9.1", False),
        ("192.0.2.6", False), ("192.0.2.7", True), ("192.0.2.8", False), ("2001:db8:1::", True),
        ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", True), ("2001:db8:2::", False), ("2001:db8:0:ffff::1", False),
    ],
)  # fmt: skip
def test_only_routes_are_reached_and_reach_the_client(restricted, wire, address, passes):
    tunnel = restricted(ROUTES)
    build, own = (wire.ipv6, wire.own6) if ":" in address else (wire.ipv4, wire.own4)
    assert tunnel.up(build(own, address)) is passes
    assert tunnel.down(build(address, own)) is passes
    assert tunnel.refused() == ({} if passes else {"rx_outside_routes": 1, "tx_outside_routes": 1})
    counters = tunnel.bench.gateway.counters(tunnel.session)
    assert (counters.rx_dropped, counters.tx_dropped) == ((0, 0) if passes else (1, 1))


@pytest.mark.parametrize("version", [4, 6])
def test_a_default_route_less_one_network(restricted, wire, version):
    tunnel = restricted(Restriction(except_networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8:2::/48"))))
    build, own = (wire.ipv6, wire.own6) if version == 6 else (wire.ipv4, wire.own4)
    inside, outside = (INSIDE6, OUTSIDE6) if version == 6 else (INSIDE4, "198.51.100.9")
    assert (tunnel.up(build(own, inside)), tunnel.down(build(inside, own))) == (True, True)
    assert (tunnel.up(build(own, outside)), tunnel.down(build(outside, own))) == (False, False)


def test_no_route_at_all_reaches_nothing(bench, wire):
    client, _ = bench.tunnel(limits=TunnelLimits(Restriction(networks=())))
    client.send(wire.frame(wire.data, wire.ipv4(wire.own4, INSIDE4)))
    client.send(wire.frame(wire.data, wire.ipv6(wire.own6, INSIDE6)))
    bench.wait_stat("rx_outside_routes", 2)


@pytest.mark.parametrize("version", [4, 6])
def test_only_one_port_may_be_opened_and_only_its_answers_come_back(restricted, version):
    tunnel = restricted(Restriction(ports=HTTPS))
    assert tunnel.ways(TCP, segment(5000, 443, SYN), segment(443, 5000, SYN | ACK), version) == (True, True)
    assert tunnel.ways(TCP, segment(5000, 80, SYN), segment(80, 5000, SYN | ACK), version) == (False, False)
    # A source port of 443 does not make a request an answer.
    assert tunnel.ways(TCP, segment(443, 5000, SYN), segment(443, 22, SYN), version) == (False, False)
    assert tunnel.ways(UDP, datagram(5000, 443), datagram(443, 5000), version) == (False, False)
    ping = bytes([8 if version == 4 else 128, 0]) + bytes(30)
    assert tunnel.ways(ICMP if version == 4 else ICMPV6, ping, ping, version) == (False, False)
    assert tunnel.ways(ESP, b"\x01\xbb" * 8, b"\x01\xbb" * 8, version) == (False, False)
    assert tunnel.ways(NO_NEXT, b"\x01\xbb" * 8, b"\x01\xbb" * 8, version) == (False, False)
    assert tunnel.refused() == {"rx_port_refused": 6, "tx_port_refused": 6}


@pytest.mark.parametrize(
    ("protocol", "port", "passes"),
    [
        (TCP, 7999, False), (TCP, 8000, True), (TCP, 8100, True), (TCP, 8101, False), (UDP, 53, True), (UDP, 54, False),
        (UDP, 8000, False), (132, 99, True), (132, 98, False), (33, 53, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("all_but", [False, True])
def test_ranges_protocols_and_all_but(restricted, protocol, port, passes, all_but):
    listed = (*MIXED, PortRange(IpProtocol.TCP, 443, 443)) if not all_but else MIXED
    tunnel = restricted(Restriction(ports=listed, all_but_ports=all_but))
    to_peer, answer = datagram(5000, port), datagram(port, 5000)
    if protocol == TCP:
        to_peer, answer = segment(5000, port, SYN), segment(port, 5000, SYN | ACK)
    assert tunnel.ways(protocol, to_peer, answer) == ((passes, passes) if not all_but else (not passes, not passes))


def test_all_but_lets_connections_to_the_client_be_opened(restricted):
    tunnel = restricted(Restriction(ports=(PortRange(IpProtocol.TCP, 25, 25),), all_but_ports=True))
    assert tunnel.ways(TCP, segment(22, 5000, SYN | ACK), segment(5000, 22, SYN)) == (True, True)
    assert tunnel.ways(TCP, segment(5000, 25, SYN), segment(25, 5000, SYN | ACK)) == (False, False)
    assert tunnel.ways(ESP, bytes(16), bytes(16)) == (True, True)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_header_too_short_for_its_ports_is_refused(restricted, size):
    tunnel = restricted(Restriction(ports=(PortRange(IpProtocol.TCP, 25, 25),), all_but_ports=True))
    assert tunnel.ways(UDP, bytes(size), bytes(size)) == (False, False)
    assert tunnel.ways(UDP, bytes(size), bytes(size), 6) == (False, False)


def test_fragments_follow_their_first_one(restricted, wire):
    tunnel = restricted(Restriction(ports=(PortRange(IpProtocol.UDP, 53, 53), *HTTPS)))

    def up(payload, fragment):
        return tunnel.up(wire.ipv4(wire.own4, INSIDE4, payload, fragment=fragment))

    def down(payload, fragment):
        return tunnel.down(wire.ipv4(INSIDE4, wire.own4, payload, fragment=fragment))

    late = b"\x00\x35" * 16  # looks like port 53
    assert (up(late, 5), down(late, 5)) == (False, False)  # before the first one
    assert up(datagram(5000, 54), MORE) is False
    assert up(late, 5) is False
    assert up(datagram(5000, 53), MORE) is True
    assert (up(late, 5 | MORE), up(late, 9)) == (True, True)
    assert down(late, 5) is False  # of another packet: the directions are apart
    assert down(datagram(53, 5000), MORE) is True
    assert down(late, 5) is True
    assert tunnel.refused() == {"rx_fragment_refused": 2, "rx_port_refused": 1, "tx_fragment_refused": 2}


def icmp_error(wire, quoted_port, *, own=None, peer=INSIDE4, kind=3, quote=None):
    """An ICMP error of a router about a segment that the client sent to ``peer``."""
    inner = wire.ipv4(own or wire.own4, peer, segment(5000, quoted_port), protocol=TCP)
    return struct.pack("!BBHI", kind, 4, 0, 1300) + inner[:28] if quote is None else quote


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"quoted_port": 443}, True),
        ({"quoted_port": 443, "kind": 11}, True),
        ({"quoted_port": 443, "kind": 8}, False),  # an echo request quotes nothing
        ({"quoted_port": 25}, False),
        ({"quoted_port": 443, "own": ip_address("192.168.99.8")}, False),  # sent by another client
        ({"quoted_port": 443, "peer": "198.51.100.1"}, False),  # outside the routes
    ],
)
def test_an_icmp_error_passes_if_it_quotes_a_permitted_packet(restricted, wire, changes, passes):
    tunnel = restricted(Restriction(networks=ROUTES.networks, ports=HTTPS))
    router = "203.0.113.1"  # in none of the routes
    assert tunnel.down(wire.ipv4(router, wire.own4, icmp_error(wire, **changes), protocol=ICMP)) is passes


def test_packet_too_big_of_ipv6_passes(restricted, wire):
    tunnel = restricted(Restriction(networks=ROUTES.networks, ports=HTTPS))
    quoted = wire.ipv6(wire.own6, INSIDE6, segment(5000, 443), header=TCP)
    error = struct.pack("!BBHI", 2, 0, 0, 1280) + quoted
    assert tunnel.down(wire.ipv6(OUTSIDE6, wire.own6, error, header=ICMPV6)) is True
    assert tunnel.down(wire.ipv6(OUTSIDE6, wire.own6, error[: 8 + 40 + 7], header=ICMPV6)) is False


def test_a_restriction_of_a_live_session_is_replaced(restricted, bench, wire):
    tunnel = restricted(ROUTES)
    packet = wire.ipv4(wire.own4, "172.16.0.1")
    assert tunnel.up(packet) is False
    bench.gateway.limit(
        tunnel.session, TunnelLimits(Restriction(networks=(*ROUTES.networks, ip_network("172.16.0.0/12"))))
    )
    bench.settle()
    assert tunnel.up(packet) is True
    bench.gateway.limit(tunnel.session, TunnelLimits(ROUTES))
    bench.settle()
    assert tunnel.up(packet) is False
    bench.gateway.limit(tunnel.session, NO_LIMITS)
    bench.settle()
    assert tunnel.up(packet) is True


def test_a_restriction_goes_with_a_session_to_another_worker(start, wire):
    bench = start(workers=2)
    _, session = bench.tunnel(limits=TunnelLimits(ROUTES))
    other = 1 - (session & 0xFF)
    bench.tun[other].send(wire.ipv4("172.16.0.1", wire.own4))  # handed to the session's worker
    bench.wait_stat("tx_outside_routes")


def test_limits_that_cannot_be_set_leave_no_session(bench):
    reversed_range = Restriction(ports=(PortRange(IpProtocol.TCP, 5, 4),))
    _, up = bench.connected()
    with pytest.raises(GatewayError, match="port range"):
        bench.gateway.open_session(up.connection_id, bench.parameters(limits=TunnelLimits(reversed_range)))
    bench.wait(SessionClosed)
    with pytest.raises(GatewayError, match="at most 2"):
        bench.gateway.limit(1, TunnelLimits(budgets=(bench.gateway.new_budget(),) * 3))
