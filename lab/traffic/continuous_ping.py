# SPDX-License-Identifier: GPL-3.0-or-later
"""ping(8) in the background of a test, and which of its requests were not answered."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

from lab.processes.programs import Program
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from lab.network import Host

INTERVAL = 0.02  # seconds
_REPLY = r"bytes from .*icmp_seq=(\d+)"


class OnHost(Protocol):
    """A client on a host of the lab."""

    host: Host


class ContinuousPing:
    """Sends echo requests from the client's host until ``missing`` ends it."""

    def __init__(self, client: OnHost, target: str, *, interval: float = INTERVAL, size: int = 56) -> None:
        command = ["ping", "-n", "-i", str(interval), "-s", str(size), target]
        self._replies: set[int] = set()
        self._read = 0  # lines
        self._program = Program(f"ping on host {client.host.number}", command, client.host.namespace)

    @property
    def replies(self) -> int:
        return len(self._numbers())

    def await_replies(self, count: int, timeout: float = TIMEOUT) -> None:
        """Waits for ``count`` replies in all."""
        deadline = time.monotonic() + timeout
        while self.replies < count:
            self._program.await_line(r"icmp_seq=", max(0.1, deadline - time.monotonic()), since=self._read)

    def missing(self) -> list[int]:
        """Waits for outstanding replies, ends the ping, and returns the sequence numbers without one.

        Numbers above the highest answered one do not count.
        """
        deadline = time.monotonic() + TIMEOUT
        while (gaps := self._gaps()) and self._program.running and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        self._program.kill()
        return gaps

    def unanswered(self) -> list[int]:
        """Returns the numbers below the highest answered one that have no reply yet; the ping goes on."""
        return self._gaps()

    def round_trips(self, since: float) -> list[float]:
        """Returns the seconds of each round trip answered after ``since`` on the monotonic clock."""
        lines = [line.text for line in self._program.lines if line.at >= since]
        return [float(ms[1]) / 1e3 for text in lines if (ms := re.search(r"icmp_seq=\d+ .*time=([\d.]+) ms", text))]

    def _gaps(self) -> list[int]:
        numbers = self._numbers()
        return sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)

    def _numbers(self) -> set[int]:
        new = self._program.lines[self._read :]
        self._read += len(new)
        self._replies.update(int(found[1]) for line in new if (found := re.search(_REPLY, line.text)))
        return self._replies
