# SPDX-License-Identifier: GPL-3.0-or-later
"""Exactly so many echo requests, and which of them were answered, however late.

ping(8) with a count gives up on the last one after twice the longest round trip before it; a busy machine takes longer.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.namespaces import Namespace

_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}  # RFC 792, RFC 4443 section 4
_ANSWER = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


def echo(namespace: Namespace, target: str, *, count: int, interval: float, size: int, patience: float) -> float:
    """The part that was answered, 0 to 1, at most ``patience`` seconds after the last was sent; ``size`` in bytes."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    identifier = secrets.randbelow(1 << 16)
    answered: set[int] = set()
    with namespace.socket(family, socket.SOCK_RAW, _PROTOCOL[family]) as wire:
        for number in range(count):
            try:
                wire.sendto(_request(family, identifier, number, size), (target, 0))
            except OSError:
                continue  # no way there: not answered
            _hear(wire, family, identifier, answered, until=time.monotonic() + interval)
        deadline = time.monotonic() + patience
        while len(answered) < count and time.monotonic() < deadline:
            _hear(wire, family, identifier, answered, until=min(deadline, time.monotonic() + interval))
    return len(answered) / count


def _hear(wire: socket.socket, family: int, identifier: int, answered: set[int], *, until: float) -> None:
    while select.select([wire], [], [], max(0.0, until - time.monotonic()))[0]:
        packet = wire.recv(65_535)
        message = packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET else packet
        kind, _, _, who, number = struct.unpack_from("!BBHHH", message)
        if (kind, who) == (_ANSWER[family], identifier):
            answered.add(number)


def _request(family: int, identifier: int, number: int, size: int) -> bytes:
    """The kernel fills in the checksum of ICMPv6, not that of ICMP."""
    head, body = (_REQUEST[family], 0), struct.pack("!HH", identifier, number) + bytes(size)
    return struct.pack("!BBH", *head, _checksum(struct.pack("!BBH", *head, 0) + body)) + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) & 1 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
