# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP transfer between two namespaces, hashed at both ends."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from lab.namespaces import Namespace

_BLOCK = random.Random(7).randbytes(1 << 20)  # incompressible; a counter in front makes each block unique


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes received, seconds, and the SHA-256 of both ends in hexadecimal."""

    size: int
    seconds: float
    sent: str
    received: str


def listen(namespace: Namespace, address: str, port: int = 0) -> socket.socket:
    """Returns a listening socket on ``port``, 0 for a free one."""
    listener = namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1)
    listener.settimeout(TIMEOUT)
    return listener


def transfer(
    source: Namespace, sink: Namespace, address: str, size: int, *, port: int = 0, source_listens: bool = False
) -> Transfer:
    """Sends ``size`` bytes from ``source`` to ``sink``, which listens on ``address`` and ``port`` (0: a free one).

    With ``source_listens`` the source listens there, and the sink connects. Raises OSError if the sender fails.
    """
    sent, received = hashlib.sha256(), hashlib.sha256()
    problems: list[BaseException] = []

    def send() -> None:
        try:
            with accept() if source_listens else connect(source) as stream:
                stream.settimeout(TIMEOUT)
                left, number = size, 0
                while left > 0:
                    block = (number.to_bytes(8, "big") + _BLOCK)[:left]
                    sent.update(block)
                    stream.sendall(block)
                    left -= len(block)
                    number += 1
        except OSError as error:
            problems.append(error)

    def accept() -> socket.socket:
        return listener.accept()[0]

    def connect(namespace: Namespace) -> socket.socket:
        return namespace.connect(listener.getsockname()[:2], timeout=TIMEOUT)

    with listen(source if source_listens else sink, address, port) as listener:
        sender = threading.Thread(target=send, name="sender")
        began = time.monotonic()
        sender.start()
        try:
            with connect(sink) if source_listens else accept() as stream:
                stream.settimeout(TIMEOUT)
                buffer = bytearray(1 << 20)
                total = 0
                while count := stream.recv_into(buffer):
                    received.update(memoryview(buffer)[:count])
                    total += count
        finally:
            sender.join(TIMEOUT)
    if problems:
        raise problems[0]
    return Transfer(total, time.monotonic() - began, sent.hexdigest(), received.hexdigest())
