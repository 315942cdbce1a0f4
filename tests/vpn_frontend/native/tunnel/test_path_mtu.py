# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets larger than a client's tunnel carries, above all after it came back with a smaller MTU."""

from __future__ import annotations

import struct
import time
from contextlib import suppress

import pytest

from tests.vpn_frontend.native.dtls_lab import DATA, PSK, QUIET
from vpn_frontend.gateway.interface import GatewayError

DONT_FRAGMENT, MORE_FRAGMENTS = 0x4000, 0x2000
UDP, ICMP, ICMPV6 = 17, 1, 58


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def assemble(fragments):
    """The payload of IPv4 fragments, each of which must be whole and right."""
    payload = b""
    for index, packet in enumerate(fragments):
        assert struct.unpack("!H", packet[2:4])[0] == len(packet)
        assert checksum(packet[:20]) == 0
        flags = struct.unpack("!H", packet[6:8])[0]
        assert (flags & 0x1FFF) * 8 == len(payload)
        assert bool(flags & MORE_FRAGMENTS) == (index < len(fragments) - 1)
        payload += packet[20:]
    return payload


@pytest.fixture
def small(bench):
    """A client that came back with an MTU of 1280: (client, session)."""
    client, session = bench.tunnel()
    bench.gateway.resize(session, 1280)
    bench.settle()
    return client, session


def test_the_new_mtu_holds_from_the_new_channel_on(bench, wire):
    client, session = bench.tunnel()
    packet = wire.ipv4(wire.outside4, wire.own4, b"p" * 1380, fragment=DONT_FRAGMENT)
    bench.tun[0].send(packet)
    assert client.read_frame() == (wire.data, packet)
    bench.gateway.resize(session, 1280)
    again, up = bench.connected()
    bench.gateway.attach(session, up.connection_id, b"HEAD", b"")
    assert again.read(4) == b"HEAD"
    bench.tun[0].send(packet)
    assert bench.tun[0].recv(65536)[20:22] == b"\x03\x04"
    bench.tun[0].send(packet := wire.ipv4(wire.outside4, wire.own4, b"p" * 1260, fragment=DONT_FRAGMENT))
    assert again.read_frame() == (wire.data, packet)
    again.send(wire.frame(wire.data, large := wire.ipv4(wire.own4, wire.outside4, b"u" * 1380)))
    assert bench.tun[0].recv(65536) == large, "a client may keep the device that it set up first"


def test_the_sender_of_an_ipv4_packet_that_may_not_be_split_hears_what_would_pass(bench, small, wire):
    packet = wire.ipv4(wire.outside4, wire.own4, b"p" * 1300, fragment=DONT_FRAGMENT)
    bench.tun[0].send(packet)
    message = bench.tun[0].recv(65536)
    assert len(message) == 576
    assert (message[9], message[12:16], message[16:20]) == (ICMP, wire.own4.packed, wire.outside4.packed)
    assert (checksum(message[:20]), checksum(message[20:])) == (0, 0)
    assert struct.unpack("!BBxxHH", message[20:28]) == (3, 4, 0, 1280)
    assert message[28:] == packet[:548]
    assert bench.gateway.counters(small[1]).tx_dropped == 1


def test_the_sender_of_an_ipv6_packet_hears_what_would_pass(bench, small, wire):
    packet = wire.ipv6(wire.outside6, wire.own6, b"p" * 1300)
    bench.tun[0].send(packet)
    message = bench.tun[0].recv(65536)
    assert len(message) == 1280
    assert (message[6], message[8:24], message[24:40]) == (ICMPV6, wire.own6.packed, wire.outside6.packed)
    assert struct.unpack("!BBxxI", message[40:48]) == (2, 0, 1280)
    assert message[48:] == packet[:1232]
    pseudo = message[8:40] + struct.pack("!IxxxB", 1240, ICMPV6)
    assert checksum(pseudo + message[40:]) == 0


@pytest.mark.parametrize("size", [1261, 1380, 2512, 2513, 8000])
def test_an_ipv4_packet_that_may_be_split_is(bench, small, wire, size):
    payload = bytes(index * 7 & 0xFF for index in range(size))
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, payload))
    count = -(-size // 1256)
    fragments = [small[0].read_frame()[1] for _ in range(count)]
    assert all(len(fragment) <= 1280 for fragment in fragments)
    assert assemble(fragments) == payload
    assert bench.gateway.counters(small[1]).tx_packets == count
    assert bench.gateway.stats()["tx_oversize"] == 0


def test_a_fragment_is_split_again_where_it_has_to_be(bench, small, wire):
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"p" * 1360, fragment=MORE_FRAGMENTS | 170))
    first, second = (small[0].read_frame()[1] for _ in range(2))
    assert struct.unpack("!H", first[6:8])[0] == MORE_FRAGMENTS | 170
    assert struct.unpack("!H", second[6:8])[0] == MORE_FRAGMENTS | (170 + 157)


def test_icmp_errors_groups_and_later_fragments_cause_no_error(bench, small, wire):
    unreachable = b"\x03\x01" + bytes(1300)
    for packet in (
        wire.ipv4(wire.outside4, wire.own4, unreachable, protocol=ICMP, fragment=DONT_FRAGMENT),
        wire.ipv4(wire.outside4, wire.own4, bytes(1304), fragment=DONT_FRAGMENT | 8),
        wire.ipv4("0.0.0.0", wire.own4, bytes(1304), fragment=DONT_FRAGMENT),
        wire.ipv4("239.0.0.1", wire.own4, bytes(1304), fragment=DONT_FRAGMENT),
        wire.ipv6(wire.outside6, wire.own6, b"\x01" + bytes(1300), header=ICMPV6),
        wire.ipv6("ff02::1", wire.own6, bytes(1300)),
        wire.ipv6("::", wire.own6, bytes(1300)),
    ):
        bench.tun[0].send(packet)
    bench.wait_stat("tx_oversize", 7)
    bench.tun[0].settimeout(QUIET)
    with pytest.raises(TimeoutError):
        bench.tun[0].recv(65536)


def test_a_flood_of_large_packets_is_answered_now_and_then(bench, small, wire):
    packet = wire.ipv4(wire.outside4, wire.own4, b"p" * 1300, fragment=DONT_FRAGMENT)
    begun = time.monotonic()
    for _ in range(100):
        bench.tun[0].send(packet)
    bench.wait_stat("tx_oversize", 100)
    touched = int(time.monotonic() - begun) + 2  # seconds of the server's clock, at most
    bench.tun[0].settimeout(QUIET)
    heard = 0
    with suppress(TimeoutError):
        while bench.tun[0].recv(65536):
            heard += 1
    assert 32 <= heard <= 32 * touched


def test_over_dtls_too(lab, wire):
    _, session, client = lab.up(PSK)
    lab.gateway.resize(session, 1280)
    lab.bench.settle()
    lab.bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"p" * 1380))
    received = [client.read() for _ in range(2)]
    assert all(frame.startswith(DATA) for frame in received)
    assert assemble([frame[1:] for frame in received]) == b"p" * 1380


def test_no_session_is_made_too_small(bench):
    _, session = bench.tunnel()
    with pytest.raises(GatewayError):
        bench.gateway.resize(session, 100)
