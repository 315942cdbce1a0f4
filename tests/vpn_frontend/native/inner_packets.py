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


segment = st.fixed_dictionaries({
    "kind": st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    "flow": st.integers(1, 12),
    "version": st.sampled_from([4, 6]),
    "size": st.sampled_from([0, 1, 7, 500, 500, 500, 1331]),
    "flags": st.sampled_from([ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, SYN]),
    "skip": st.sampled_from([0, 0, 0, 0, 5]),
    "options": st.sampled_from([b"", b"", b"\x01\x01\x08\x0a12345678", b"\x01" * 4]),
    "damage": st.sampled_from([None, None, None, None, -1, 25]),
    "tos": st.sampled_from([0, 0, 0, 2, 3]),
    "ttl": st.sampled_from([64] * 6 + [63]),
    "ack": st.sampled_from([77] * 6 + [78]),
    "window": st.sampled_from([500] * 6 + [501]),
    "fragment": st.sampled_from([0x4000] * 6 + [0, 0x2000, 0x0010]),
    "before": st.sampled_from([False] * 8 + [True]),
})  # fmt: skip
BEFORE = {4: b"\x01\x01\x01\x00", 6: b"\x00\x00\x01\x04\x00\x00\x00\x00"}  # no operation; padding


def make_trace(plan):
    """The packets of a list of ``segment``: flows in step, with gaps, damage, fragments and extension headers."""
    seq, ident, packets = defaultdict(int), defaultdict(int), []
    for item in plan:
        key = (item["kind"], item["flow"], item["version"])
        seq[key] += item["skip"]
        common = {name: item[name] for name in ("flow", "version", "tos", "ttl", "fragment")}
        common |= {"ident": ident[key], "before": BEFORE[item["version"]] if item["before"] else b""}
        payload = bytes([len(packets) % 256]) * item["size"]
        if item["kind"] == "tcp":
            of_tcp = {name: item[name] for name in ("flags", "options", "ack", "window")}
            packet = tcp(payload, seq=seq[key], **of_tcp, **common)
        else:
            packet = udp(payload, **common)
        if item["damage"] is not None and item["size"]:
            damaged = bytearray(packet)
            damaged[item["damage"]] ^= 0x5A
            packet = bytes(damaged)
        seq[key] += item["size"]
        ident[key] += 1
        packets.append(packet)
    return packets


def by_flow(packets):
    """{addresses, protocol and ports: packets in their order}."""
    flows = defaultdict(list)
    for packet in packets:
        ends = packet[9:10] + packet[12:24] if packet[0] >> 4 == 4 else packet[6:7] + packet[8:44]
        flows[ends].append(packet)
    return flows
