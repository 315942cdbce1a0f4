# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests at a fixed rate, from one process that costs the machine little.

A request is due at its time whether earlier ones were answered or not, and its latency counts from then: a server that
falls behind cannot slow its own measurement down. Threads of the test's process would measure each other's lock.

Standard input: one JSON object with ``port``, ``rate``, ``seconds``, ``connections`` and ``kinds``, each a list of
whole requests (see ``render``) that are sent in turn. Standard output: one JSON object, see ``Rate``.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.namespaces import Namespace

PATIENCE = 60.0  # seconds for what is still to be answered in the end


@dataclass(frozen=True, slots=True)
class Rate:
    """``latencies``: seconds of each answered request, by its kind. ``failed``: those not answered with 2xx."""

    seconds: float
    latencies: list[list[float]]
    failed: int

    @property
    def all(self) -> list[float]:
        return [one for latencies in self.latencies for one in latencies]


def send_at_rate(
    namespace: Namespace, port: int, kinds: Sequence[Sequence[str]], rate: float, seconds: float, connections: int = 16
) -> Rate:
    """Sends a request of each of ``kinds`` in turn at ``rate`` a second to a server in ``namespace``."""
    wanted = {"port": port, "rate": rate, "seconds": seconds, "connections": connections, "kinds": kinds}
    command = (sys.executable, "-m", "lab.traffic.request_rate")
    said = namespace.run(*command, stdin=json.dumps(wanted), timeout=seconds + 2 * PATIENCE)
    return Rate(**json.loads(said))


def render(method: str, path: str, token: str, body: object = None) -> str:
    """Returns the text of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if body is None:
        return f"{head}\r\n"
    content = json.dumps(body)
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}"


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.kind = 0
        self._received = bytearray()
        self._whole = 0

    def send(self, request: bytes, kind: int, due: float) -> None:
        self.kind, self.due, self._whole = kind, due, 0
        self._received.clear()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Returns the status of an answer that is complete."""
        part = self.socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed a connection")
        self._received += part
        if not self._whole:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(self._received[:end]).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._whole = end + 4 + int(length or 0)
        return int(self._received[9:12]) if len(self._received) >= self._whole else None


def _run(port: int, rate: float, seconds: float, connections: int, kinds: Sequence[Sequence[str]]) -> Rate:
    poll = select.epoll()
    idle = deque(_Connection(port) for _ in range(connections))
    by_descriptor = {one.socket.fileno(): one for one in idle}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    latencies: list[list[float]] = [[] for _ in kinds]
    failed = sent = answered = 0
    total = int(rate * seconds)
    began = time.monotonic()
    while answered < total:
        now = time.monotonic()
        if now > began + seconds + PATIENCE:
            raise TimeoutError(f"{total - answered} requests were not answered")
        while sent < total and idle and (due := began + sent / rate) <= now:
            round_, kind = divmod(sent, len(kinds))
            idle.popleft().send(kinds[kind][round_ % len(kinds[kind])].encode(), kind, due)
            sent += 1
        wait = began + sent / rate - time.monotonic() if idle and sent < total else 1.0
        for descriptor, _ in poll.poll(max(0.0, wait)):
            connection = by_descriptor[descriptor]
            status = connection.receive()
            if status is None:
                continue
            answered += 1
            failed += not 200 <= status < 300
            latencies[connection.kind].append(time.monotonic() - connection.due)
            idle.append(connection)
    return Rate(time.monotonic() - began, latencies, failed)


if __name__ == "__main__":
    found = _run(**json.load(sys.stdin))
    json.dump({"seconds": found.seconds, "latencies": found.latencies, "failed": found.failed}, sys.stdout)
