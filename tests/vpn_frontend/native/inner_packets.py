# SPDX-License-Identifier: GPL-3.0-or-later
"""Inner packets as a client or the host would send them: TCP and UDP, IPv4 and IPv6, and traces of them."""

from __future__ import annotations

import struct
from collections import defaultdict

from hypothesis import strategies as st

HOP_BY_HOP, TCP, UDP, FRAGMENT = 0, 6, 17, 44
ACK, PSH, FIN, SYN, CWR, ECE = 0x10, 0x08, 0x01, 0x02, 0x80, 0x40


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def wrap(body, protocol, *, version, flow, ident=0, ttl=64, tos=0, fragment=0x4000, before=b""):
    """An IP packet around a transport header and its payload, the transport's checksum still zero.

    ``before``: IPv4 options, or a hop-by-hop header of IPv6 whose first byte is filled in; multiples of 4 and 8 bytes.
    """
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
        following = HOP_BY_HOP if before else protocol
        body = bytes([protocol]) + before[1:] + body if before else body
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(body), following, ttl) + addresses + body
    size = 20 + len(before)
    words = 0x40 | size // 4
    head = struct.pack("!BBHHHBBH", words, tos, size + len(body), ident & 0xFFFF, fragment, ttl, protocol, 0)
    head = head[:10] + struct.pack("!H", checksum(head + addresses + before)) + addresses
    return head + before + body


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


PLAIN = {
    "size": 500, "flags": ACK, "skip": 0, "options": b"", "damage": None, "tos": 0, "ttl": 64, "ack": 77, "window": 500,
    "fragment": 0x4000, "before": False, "step": 1,
}  # fmt: skip
# What may set a packet apart from the one before it. One thing at a time, or nearly nothing would ever be merged.
ODD = {
    "size": [0, 1, 7, 499, 501, 1331],
    "flags": [ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, SYN],
    "skip": [5],
    "options": [b"\x01\x01\x08\x0a12345678", b"\x01" * 4],
    "damage": [-1, 25],
    "tos": [2, 3],
    "ttl": [63],
    "ack": [78],
    "window": [501],
    "fragment": [0, 0x2000, 0x0010],
    "before": [True],
    "step": [0, 2],
}
oddity = st.sampled_from([{}] * 15 + [{name: value} for name, values in ODD.items() for value in values])
segment = st.tuples(
    st.sampled_from([("tcp", 1), ("tcp", 1), ("tcp", 1), ("tcp", 2), ("udp", 3)]),
    st.sampled_from([4, 6]),
    oddity,
    st.integers(1, 3),
)
BEFORE = {4: b"\x01\x01\x01\x00", 6: b"\x00\x00\x01\x04\x00\x00\x00\x00"}  # no operation; padding


def make_trace(plan):
    """The packets of a list of ``segment``: flows in step, but for gaps, damage, fragments and extension headers."""
    seq, ident, packets = defaultdict(int), defaultdict(int), []
    for (kind, flow), version, odd, count in plan:
        item, key = PLAIN | odd, (kind, flow, version)
        for _ in range(count):
            seq[key] += item["skip"]
            ident[key] += item["step"]
            common = {name: item[name] for name in ("tos", "ttl", "fragment")}
            common |= {"flow": flow, "version": version, "ident": ident[key]}
            common["before"] = BEFORE[version] if item["before"] else b""
            payload = bytes([len(packets) % 256]) * item["size"]
            if kind == "tcp":
                of_tcp = {name: item[name] for name in ("flags", "options", "ack", "window")}
                packet = tcp(payload, seq=seq[key], **of_tcp, **common)
            else:
                packet = udp(payload, **common)
            if item["damage"] is not None:
                damaged = bytearray(packet)
                damaged[item["damage"]] ^= 0x5A
                packet = bytes(damaged)
            seq[key] += item["size"]
            packets.append(packet)
    return packets


def by_flow(packets):
    """{addresses, protocol and ports: packets in their order}."""
    flows = defaultdict(list)
    for packet in packets:
        ends = packet[9:10] + packet[12:24] if packet[0] >> 4 == 4 else packet[6:7] + packet[8:44]
        flows[ends].append(packet)
    return flows
