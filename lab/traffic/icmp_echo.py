# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed number of ICMP echo requests, and the share that was answered, however late.

ping(8) with a count gives up on the last request after twice the longest round trip so far. Busy machines take longer.
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
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


def answered_share(
    namespace: Namespace, target: str, *, count: int, interval: float, size: int, timeout: float
) -> float:
    """Sends ``count`` requests of ``size`` bytes and returns the share that was answered, 0 to 1.

    Waits at most ``timeout`` seconds after the last request.
    """
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    identifier = secrets.randbelow(1 << 16)
    answered: set[int] = set()
    with namespace.socket(family, socket.SOCK_RAW, _PROTOCOL[family]) as raw:
        for number in range(count):
            try:
                raw.sendto(_request(family, identifier, number, size), (target, 0))
            except OSError:
                continue  # no route: not answered
            _receive(raw, family, identifier, answered, until=time.monotonic() + interval)
        deadline = time.monotonic() + timeout
        while len(answered) < count and time.monotonic() < deadline:
            _receive(raw, family, identifier, answered, until=min(deadline, time.monotonic() + interval))
    return len(answered) / count


def _receive(raw: socket.socket, family: int, identifier: int, answered: set[int], *, until: float) -> None:
    while select.select([raw], [], [], max(0.0, until - time.monotonic()))[0]:
        packet = raw.recv(65_535)
        message = packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET else packet
        kind, _, _, sender, number = struct.unpack_from("!BBHHH", message)
        if (kind, sender) == (_REPLY[family], identifier):
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
