# SPDX-License-Identifier: GPL-3.0-or-later
"""A ping that runs beside everything else and knows which of its packets were not answered."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from .programs import Program

if TYPE_CHECKING:
    from .openconnect import OpenConnect

INTERVAL = 0.02  # seconds


class Pings:
    def __init__(self, client: OpenConnect, target: str, *, interval: float = INTERVAL, size: int = 56) -> None:
        command = ["ping", "-n", "-i", str(interval), "-s", str(size), target]
        self._program = Program(f"ping on host {client.host.number}", command, client.host.namespace)

    @property
    def pid(self) -> int:
        return self._program.process.pid

    @property
    def answered(self) -> int:
        return len(self._numbers())

    def await_answers(self, count: int, timeout: float = 15) -> None:
        """Until so many were answered in all."""
        deadline = time.monotonic() + timeout
        since = 0
        while self.answered < count:
            since = len(self._program.lines)
            self._program.await_line(r"icmp_seq=", max(0.1, deadline - time.monotonic()), since=since)

    def missing(self) -> list[int]:
        """Ends the ping; the numbers below the highest answered that never were."""
        self._program.kill()
        numbers = self._numbers()
        return sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)

    def slowest(self) -> float:
        """Seconds of the longest round trip so far."""
        return max(self.times(), default=0.0)

    def times(self, since: float = 0.0) -> list[float]:
        """Seconds of every round trip that was answered after that moment of the monotonic clock."""
        lines = [line.text for line in self._program.lines if line.at >= since]
        return [float(ms[1]) / 1e3 for text in lines if (ms := re.search(r"icmp_seq=\d+ .*time=([\d.]+) ms", text))]

    def _numbers(self) -> set[int]:
        return {int(number) for number in re.findall(r"bytes from .*icmp_seq=(\d+)", self._program.output)}
