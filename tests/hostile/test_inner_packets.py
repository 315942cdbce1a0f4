# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets inside a tunnel: spoofed, malformed, fragmented, broadcast. None reaches the network but the client's own."""

from __future__ import annotations

import select
import socket
import struct

import pytest

from lab.clients.cstp_client import DATA, frame
from lab.server import DEVICE, INNER_IPV4, INNER_IPV6
from lab.timeouts import TIMEOUT
from tests.hostile.test_accounting import datagram

ETH_P_ALL = 3
MARK = b"hostile packet"


def ipv4(
    source: str, destination: str = INNER_IPV4, *, protocol: int = 17, flags: int = 0, payload: bytes = b""
) -> bytes:
    packet = bytearray(datagram(source, 28))[:20] + payload + MARK
    packet[2:4] = struct.pack("!H", len(packet))
    packet[6:8] = struct.pack("!H", flags)
    packet[9] = protocol
    return bytes(packet)


def ipv6(source: str, destination: str = INNER_IPV6, *, following: int = 17, payload: bytes = b"") -> bytes:
    body = payload + MARK
    head = struct.pack("!IHBB", 0x60000000, len(body), following, 64)
    return head + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + body


def patched(packet: bytes, position: int, value: bytes) -> bytes:
    return packet[:position] + value + packet[position + len(value) :]


OTHERS = ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "169.254.1.1", "192.168.99.1", "192.168.99.2",
          "192.168.99.255", "10.77.0.1", "8.8.8.8")  # fmt: skip
OTHERS6 = ("::", "::1", "ff02::1", "fe80::1", "fd00:99::1", "fd00:99::2", "fd77::1", "::ffff:192.168.99.1",
           "64:ff9b::c0a8:6301", "2001:db8::1")  # fmt: skip
MALFORMED = {
    "version 0": lambda own4, own6: patched(ipv4(own4), 0, b"\x05"),
    "version 15": lambda own4, own6: patched(ipv4(own4), 0, b"\xf5"),
    "version 6 in an IPv4 packet": lambda own4, own6: patched(ipv4(own4), 0, b"\x65"),
    "header of 0 words": lambda own4, own6: patched(ipv4(own4), 0, b"\x40"),
    "header of 4 words": lambda own4, own6: patched(ipv4(own4), 0, b"\x44"),
    "header longer than the packet": lambda own4, own6: patched(ipv4(own4), 0, b"\x4f"),
    "length of 0": lambda own4, own6: patched(ipv4(own4), 2, b"\0\0"),
    "length above the frame": lambda own4, own6: patched(ipv4(own4), 2, b"\xff\xff"),
    "length below the frame": lambda own4, own6: patched(ipv4(own4), 2, b"\0\x14"),
    "IPv4 cut in its header": lambda own4, own6: ipv4(own4)[:19],
    "IPv6 cut in its header": lambda own4, own6: ipv6(own6)[:39],
    "IPv6 length above the frame": lambda own4, own6: patched(ipv6(own6), 4, b"\xff\xff"),
    "IPv6 length of 0": lambda own4, own6: patched(ipv6(own6), 4, b"\0\0"),
    "tiny first fragment": lambda own4, own6: ipv4(own4, protocol=6, flags=0x2000)[:20 + 8],
    "second fragment over the header": lambda own4, own6: ipv4(own4, protocol=6, flags=1),
    "tiny first IPv6 fragment": lambda own4, own6: ipv6(own6, following=44, payload=b"\x06\0\0\x01" + bytes(4))[:48],
    "cut IPv6 fragment header": lambda own4, own6: patched(ipv6(own6, following=44)[:44], 4, b"\0\x04"),
    "mapped destination": lambda own4, own6: ipv6(own6, "::ffff:192.168.99.1"),
    "an Ethernet frame": lambda own4, own6: b"\xff" * 12 + b"\x08\x00" + ipv4(own4),
    "an ARP request": lambda own4, own6: b"\x00\x01\x08\x00\x06\x04\x00\x01" + bytes(20) + MARK,
}  # fmt: skip
MALFORMED["tiny first fragment"] = lambda own4, own6: patched(ipv4(own4, protocol=6, flags=0x2000)[:28], 2, b"\0\x1c")


@pytest.fixture
def sniffer(arena):
    """Every packet with the mark that leaves the server towards its own network stack."""
    with arena.server.network.gateway.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as raw:
        raw.bind((DEVICE, ETH_P_ALL))
        yield raw


def carried(sniffer, tunnel, *packets: bytes) -> list[bytes]:
    """Sends the packets, and behind them one that passes. Returns those of the packets that passed before it."""
    own = ipv4(tunnel.ipv4, payload=struct.pack("!HHHH", 9, 9, 8 + len(MARK) + 4, 0) + b"own!")
    tunnel.stream.sendall(b"".join(frame(DATA, packet) for packet in (*packets, own)))
    found: list[bytes] = []
    while select.select([sniffer], [], [], TIMEOUT)[0]:
        packet = sniffer.recv(65536)
        if packet == own:
            return found
        if MARK in packet or packet in packets:
            found.append(packet)
    raise AssertionError("the client's own packet did not pass")


@pytest.mark.parametrize("source", OTHERS)
def test_an_ipv4_source_of_another_is_dropped(arena, sniffer, source):
    with arena.tunnel() as tunnel:
        assert carried(sniffer, tunnel, ipv4(source)) == []
        assert tunnel.answers()


@pytest.mark.parametrize("source", OTHERS6)
def test_an_ipv6_source_of_another_is_dropped(arena, sniffer, source):
    with arena.tunnel() as tunnel:
        assert carried(sniffer, tunnel, ipv6(source)) == []
        assert tunnel.answers()


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_packet_is_dropped(arena, sniffer, make):
    with arena.tunnel() as tunnel:
        assert carried(sniffer, tunnel, make(tunnel.ipv4, tunnel.ipv6)) == []
        assert tunnel.answers()


def test_drops_are_counted_at_the_session(arena, sniffer):
    with arena.tunnel() as tunnel:
        session = arena.session_of(tunnel)["id"]
        assert (
            carried(sniffer, tunnel, *[ipv4(source) for source in OTHERS], *[ipv6(source) for source in OTHERS6]) == []
        )
        assert tunnel.answers()
        tunnel.disconnect()
    row = arena.account(session)
    assert row["rx_packets"] == 1
    assert row["rx_dropped"] > 0


def test_ten_thousand_spoofed_packets_delay_no_tunnel(arena):
    with arena.tunnel() as tunnel:
        burst = frame(DATA, ipv4("192.168.99.2")) * 100
        for _ in range(100):
            tunnel.stream.sendall(burst)
        assert tunnel.answers()
