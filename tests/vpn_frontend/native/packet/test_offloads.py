# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging and splitting of packets: whatever is merged comes apart into the very same packets, flow by flow."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpn_frontend.native.inner_packets import (
    ACK,
    CWR,
    FIN,
    FRAGMENT,
    PSH,
    SYN,
    TCP,
    UDP,
    by_flow,
    checksum,
    make_trace,
    segment,
    stream,
    tcp,
    udp,
    wrap,
)


@pytest.mark.parametrize("version", [4, 6])
def test_a_stream_becomes_one_packet_and_itself_again(offloads, version):
    packets = stream(40, last=17, version=version, options=b"\x01\x01\x08\x0a" + bytes(8))
    merged = offloads.merge(packets)
    assert len(merged) == 1
    header, large = merged[0]
    flags, kind, header_size, each, start, offset = struct.unpack("=BBHHHH", header)
    ip_size = 20 if version == 4 else 40
    assert (flags, kind, header_size, each, start, offset) == (
        1,
        1 if version == 4 else 4,
        ip_size + 32,
        1000,
        ip_size,
        16,
    )
    addresses = large[12:20] if version == 4 else large[8:40]
    pseudo = addresses + struct.pack("!HH", TCP, len(large) - ip_size)
    assert struct.unpack("!H", large[ip_size + 16 : ip_size + 18])[0] == checksum(pseudo) ^ 0xFFFF
    if version == 4:
        assert checksum(large[:20]) == 0
    assert offloads.split(header, large) == packets


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_of_a_flow_merge_too(offloads, version):
    packets = [udp(b"q" * 1200, version=version, ident=n) for n in range(20)] + [udp(b"e", version=version, ident=20)]
    assert len(offloads.merge(packets)) == 1
    assert offloads.there_and_back(packets) == packets
    assert offloads.merge(packets, udp=False) == [(bytes(10), packet) for packet in packets]


def test_no_large_packet_exceeds_what_ip_can_say(offloads):
    packets = stream(200, size=1448)
    merged = offloads.merge(packets)
    assert all(len(large) <= 65535 for _, large in merged)
    assert len(merged) == 5
    assert offloads.there_and_back(packets) == packets
    datagrams = [udp(b"d" * 100, ident=n) for n in range(200)]
    assert len(offloads.merge(datagrams)) == 4  # 64 datagrams each


def _pairs():
    first = {"seq": 100, "ident": 1}
    then = {"seq": 600, "ident": 2}
    body = b"p" * 500
    base = tcp(body, **first)
    return {
        "gap": [base, tcp(body, seq=601, ident=2)],
        "repetition": [base, base],
        "other ack": [base, tcp(body, **then, ack=78)],
        "other window": [base, tcp(body, **then, window=501)],
        "other ttl": [base, tcp(body, **then, ttl=63)],
        "other tos": [base, tcp(body, **then, tos=3)],
        "no DF": [base, tcp(body, **then, fragment=0)],
        "other identification": [base, tcp(body, seq=600, ident=9)],
        "longer": [base, tcp(body + b"!", **then)],
        "options": [base, tcp(body, **then, options=b"\x01" * 4)],
        "fin": [base, tcp(body, **then, flags=ACK | FIN)],
        "syn": [base, tcp(body, **then, flags=SYN)],
        "cwr": [base, tcp(body, **then, flags=ACK | CWR)],
        "no payload": [base, tcp(b"", **then)],
        "after push": [tcp(body, **first, flags=ACK | PSH), tcp(body, **then)],
        "after short": [*stream(2, size=500, last=3), tcp(body, seq=0xFFFFF000 + 503, ident=65532)],
        "bad checksum": [base, tcp(body, **then)[:-1] + b"?"],
        "bad ip checksum": [base, tcp(body, **then)[:10] + b"??" + tcp(body, **then)[12:]],
        "fragment": [base, tcp(body, **then, fragment=0x2000)],
        "udp without checksum": [udp(body, ident=1), udp(body, ident=2)[:26] + b"\0\0" + udp(body, ident=2)[28:]],
    }


@pytest.mark.parametrize("name", _pairs())
def test_what_differs_is_not_merged(offloads, name):
    packets = _pairs()[name]
    result = offloads.there_and_back(packets)
    assert result == packets
    assert len(offloads.merge(packets)) == 2


def test_extension_headers_and_other_protocols_pass_unchanged(offloads):
    odd = [
        wrap(b"\x11" * 8 + bytes(40), 0, version=6, flow=1),
        wrap(bytes(20), FRAGMENT, version=6, flow=1),
        wrap(bytes(30), 50, version=4, flow=1),
        wrap(b"abc", 1, version=4, flow=1),
        b"\x46" + wrap(bytes(24), 253, version=4, flow=1)[1:],
        struct.pack("!BBHHHBBH", 0x45, 0, 23, 0, 0, 64, TCP, 0) + bytes(11),  # a TCP header that is not there
    ]
    assert offloads.merge(odd) == [(bytes(10), packet) for packet in odd]


@settings(max_examples=300, deadline=None)
@given(st.lists(segment, max_size=60))
def test_any_traffic_keeps_its_packets_and_their_order(offloads, plan):
    packets = make_trace(plan)
    assert by_flow(offloads.there_and_back(packets)) == by_flow(packets)
    assert by_flow(offloads.there_and_back(packets, tcp=False, udp=False)) == by_flow(packets)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (struct.pack("=BBHHHH", 1, 1, 40, 0, 20, 16), 1000),  # no segment size
        (struct.pack("=BBHHHH", 0, 1, 40, 500, 20, 16), 1000),  # no checksum to complete
        (struct.pack("=BBHHHH", 1, 1, 40, 500, 19, 16), 1000),
        (struct.pack("=BBHHHH", 1, 1, 40, 500, 990, 16), 1000),
        (struct.pack("=BBHHHH", 1, 1, 40, 500, 65535, 65535), 1000),
        (struct.pack("=BBHHHH", 1, 3, 28, 500, 20, 6), 1000),  # UFO, which was not asked for
        (struct.pack("=BBHHHH", 1, 1, 40, 500, 20, 16), 40),  # no payload
        (struct.pack("=BBHHHH", 1, 1, 40, 500, 20, 16), 0),
    ],
)
def test_nonsense_from_the_queue_is_refused(offloads, header, size):
    packet = (tcp(b"x" * 960, seq=1) + bytes(1000))[:size]
    assert offloads.split(header, packet) is None


@pytest.mark.parametrize("build", [tcp, udp])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1, 2, 999, 1000])
def test_partial_checksums_are_completed(offloads, build, version, size):
    options = {"seq": 5} if build is tcp else {}
    packet = build(b"\xa7" * size, version=version, **options)
    start, offset = (20 if version == 4 else 40), (16 if build is tcp else 6)
    addresses = packet[12:20] if version == 4 else packet[8:40]
    pseudo = checksum(addresses + struct.pack("!HH", TCP if build is tcp else UDP, len(packet) - start)) ^ 0xFFFF
    partial = packet[: start + offset] + struct.pack("!H", pseudo) + packet[start + offset + 2 :]
    assert offloads.complete(struct.pack("=BBHHHH", 1, 0, 0, 0, start, offset), partial) == packet
    assert offloads.complete(struct.pack("=BBHHHH", 0, 0, 0, 0, start, offset), partial) == partial
    assert offloads.complete(struct.pack("=BBHHHH", 1, 0, 0, 0, len(packet) - 1, offset), partial) is None
