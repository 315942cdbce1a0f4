# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging and splitting of packets: whatever is merged comes apart into the very same packets, flow by flow."""

from __future__ import annotations

import importlib.util
import struct
from collections import defaultdict
from pathlib import Path

import cffi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "vpn_frontend/native"
TCP, UDP, FRAGMENT = 6, 17, 44
ACK, PSH, FIN, SYN, CWR, ECE = 0x10, 0x08, 0x01, 0x02, 0x80, 0x40

HARNESS = """
#include <string.h>
#include "vpn_frontend/native/coalescer.h"
#include "vpn_frontend/native/segments.h"
static struct { uint8_t *at; uint32_t *sizes; uint8_t *headers; uint32_t count; } out;
static void emit(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    (void)owner;
    memcpy(out.at, packet, size);
    memcpy(out.headers + 10 * out.count, header, 10);
    out.sizes[out.count++] = (uint32_t)size;
    out.at += size;
}
static uint32_t merge(const uint8_t *data, const uint32_t *sizes, uint32_t count, int tcp, int udp,
                      uint8_t *to, uint32_t *to_sizes, uint8_t *headers)
{
    struct gw_coalescer c;
    out.at = to; out.sizes = to_sizes; out.headers = headers; out.count = 0;
    if (gw_coalescer_init(&c, emit, 0)) return 0;
    c.tcp = tcp; c.udp = udp;
    for (uint32_t i = 0; i < count; data += sizes[i++]) gw_coalescer_take(&c, data, sizes[i]);
    gw_coalescer_flush(&c);
    gw_coalescer_free(&c);
    return out.count;
}
static int split(const uint8_t *header, const uint8_t *packet, uint32_t size, uint8_t *to, uint32_t *to_sizes)
{
    struct virtio_net_hdr h; struct gw_segments s; int count = 0; size_t part;
    memset(&h, 0, sizeof(h));
    memcpy(&h, header, 10);
    if (gw_segments_begin(&s, &h, packet, size)) return -1;
    while ((part = gw_segments_next(&s, to, 65535))) { to += part; to_sizes[count++] = (uint32_t)part; }
    return count;
}
static int complete(const uint8_t *header, uint8_t *packet, uint32_t size)
{
    struct virtio_net_hdr h;
    memset(&h, 0, sizeof(h));
    memcpy(&h, header, 10);
    return gw_checksum_complete(&h, packet, size);
}
"""


@pytest.fixture(scope="session")
def offloads(tmp_path_factory):
    """``coalescer.c`` and ``segments.c`` alone, with the lists they work on."""
    ffi = cffi.FFI()
    ffi.cdef(
        "uint32_t merge(const uint8_t *, const uint32_t *, uint32_t, int, int, uint8_t *, uint32_t *, uint8_t *);"
        "int split(const uint8_t *, const uint8_t *, uint32_t, uint8_t *, uint32_t *);"
        "int complete(const uint8_t *, uint8_t *, uint32_t);"
    )
    sources = [str(NATIVE / name) for name in ("coalescer.c", "segments.c")]
    ffi.set_source(
        "_offloads", HARNESS, sources=sources, include_dirs=[str(ROOT)], extra_compile_args=["-D_GNU_SOURCE"]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)
        path = ffi.compile(tmpdir=str(tmp_path_factory.mktemp("offloads")))
    spec = importlib.util.spec_from_file_location("_offloads", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Offloads(module)


class Offloads:
    def __init__(self, module):
        self._lib, self._ffi = module.lib, module.ffi

    def merge(self, packets, *, tcp=True, udp=True):
        """[(header, packet)], as they would be written to the TUN device."""
        data, sizes = b"".join(packets), [len(packet) for packet in packets]
        room = self._ffi.new("uint8_t[]", len(data) + 1)
        out_sizes = self._ffi.new("uint32_t[]", len(packets) + 1)
        headers = self._ffi.new("uint8_t[]", 10 * len(packets) + 10)
        count = self._lib.merge(data, sizes, len(packets), tcp, udp, room, out_sizes, headers)
        result, at = [], 0
        for i in range(count):
            result.append((bytes(headers[10 * i : 10 * i + 10]), bytes(room[at : at + out_sizes[i]])))
            at += out_sizes[i]
        return result

    def split(self, header, packet):
        room, sizes = self._ffi.new("uint8_t[]", 4 << 20), self._ffi.new("uint32_t[]", 65536)
        count = self._lib.split(header, packet, len(packet), room, sizes)
        if count < 0:
            return None
        result, at = [], 0
        for i in range(count):
            result.append(bytes(room[at : at + sizes[i]]))
            at += sizes[i]
        return result

    def complete(self, header, packet):
        room = self._ffi.new("uint8_t[]", packet)
        status = self._lib.complete(header, room, len(packet))
        return bytes(room)[: len(packet)] if status == 0 else None

    def there_and_back(self, packets, **kinds):
        result = []
        for header, packet in self.merge(packets, **kinds):
            result += [packet] if header[1] == 0 else self.split(header, packet)
        return result


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def wrap(body, protocol, *, version, flow, ident=0, ttl=64, tos=0, fragment=0x4000):
    """An IP packet around a transport header and its payload, the transport's checksum still zero."""
    if version == 4:
        addresses = bytes([10, 0, 0, flow, 10, 9, 9, 9])
    else:
        addresses = bytes([0xFD, *[0] * 14, flow, 0xFD, *[0] * 14, 200])
    at = {TCP: 16, UDP: 6}.get(protocol)
    if at is not None:
        pseudo = addresses + struct.pack("!HH", protocol, len(body))
        value = checksum(pseudo + body)
        if protocol == UDP and value == 0:
            value = 0xFFFF
        body = body[:at] + struct.pack("!H", value) + body[at + 2 :]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(body), protocol, ttl) + addresses + body
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(body), ident & 0xFFFF, fragment, ttl, protocol, 0)
    head = head[:10] + struct.pack("!H", checksum(head + addresses)) + addresses
    return head + body


def tcp(payload, *, seq, flow=1, version=4, flags=ACK, options=b"", ack=77, window=500, **ip):
    size = (20 + len(options)) // 4
    head = struct.pack("!HHIIBBHHH", 1000 + flow, 443, seq & 0xFFFFFFFF, ack, size << 4, flags, window, 0, 0)
    return wrap(head + options + payload, TCP, version=version, flow=flow, **ip)


def udp(payload, *, flow=1, version=4, **ip):
    head = struct.pack("!HHHH", 2000 + flow, 53, 8 + len(payload), 0)
    return wrap(head + payload, UDP, version=version, flow=flow, **ip)


def stream(count, size=1000, *, last=None, version=4, **options):
    """Packets that follow each other."""
    sizes = [size] * count
    if last is not None:
        sizes[-1] = last
    seq, packets = 0xFFFFF000, []
    for number, length in enumerate(sizes):
        packets.append(tcp(bytes([number % 256]) * length, seq=seq, ident=65530 + number, version=version, **options))
        seq += length
    return packets


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


segment = st.fixed_dictionaries({
    "kind": st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    "flow": st.integers(1, 12),
    "version": st.sampled_from([4, 6]),
    "size": st.sampled_from([0, 1, 7, 500, 500, 500, 1361]),
    "flags": st.sampled_from([ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, SYN]),
    "skip": st.sampled_from([0, 0, 0, 0, 5]),
    "options": st.sampled_from([b"", b"", b"\x01\x01\x08\x0a12345678", b"\x01" * 4]),
    "damage": st.sampled_from([None, None, None, None, -1, 25]),
    "tos": st.sampled_from([0, 0, 0, 2]),
})  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(segment, max_size=60))
def test_any_traffic_keeps_its_packets_and_their_order(offloads, plan):
    seq, ident, packets = defaultdict(int), defaultdict(int), []
    for item in plan:
        key = (item["kind"], item["flow"], item["version"])
        seq[key] += item["skip"]
        common = {"flow": item["flow"], "version": item["version"], "ident": ident[key], "tos": item["tos"]}
        payload = bytes([len(packets)]) * item["size"]
        if item["kind"] == "tcp":
            packet = tcp(payload, seq=seq[key], flags=item["flags"], options=item["options"], **common)
        else:
            packet = udp(payload, **common)
        if item["damage"] is not None and item["size"]:
            damaged = bytearray(packet)
            damaged[item["damage"]] ^= 0x5A
            packet = bytes(damaged)
        seq[key] += item["size"]
        ident[key] += 1
        packets.append(packet)

    def by_flow(list_of_packets):
        flows = defaultdict(list)
        for packet in list_of_packets:
            ends = packet[9:10] + packet[12:24] if packet[0] >> 4 == 4 else packet[6:7] + packet[8:44]
            flows[ends].append(packet)
        return flows

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
