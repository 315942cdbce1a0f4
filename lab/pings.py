# SPDX-License-Identifier: GPL-3.0-or-later
"""A ping that runs beside everything else and knows which of its packets were not answered."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

from lab.patience import PATIENCE
from lab.programs import Program

if TYPE_CHECKING:
    from lab.network import Host

INTERVAL = 0.02  # seconds
_ANSWER = r"bytes from .*icmp_seq=(\d+)"


class OnHost(Protocol):
    host: Host


class Pings:
    def __init__(self, client: OnHost, target: str, *, interval: float = INTERVAL, size: int = 56) -> None:
        command = ["ping", "-n", "-i", str(interval), "-s", str(size), target]
        self._heard: set[int] = set()
        self._read = 0  # lines
        self._program = Program(f"ping on host {client.host.number}", command, client.host.namespace)

    @property
    def answered(self) -> int:
        return len(self._numbers())

    def await_answers(self, count: int, timeout: float = PATIENCE) -> None:
        """Until so many were answered in all."""
        deadline = time.monotonic() + timeout
        while self.answered < count:
            self._program.await_line(r"icmp_seq=", max(0.1, deadline - time.monotonic()), since=self._read)

    def missing(self) -> list[int]:
        """Ends the ping; the numbers below the highest answered that never were, although they were waited for."""
        deadline = time.monotonic() + PATIENCE
        while (gaps := self._gaps()) and self._program.running and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        self._program.kill()
        return gaps

    def times(self, since: float) -> list[float]:
        """Seconds of every round trip that was answered after that moment of the monotonic clock."""
        lines = [line.text for line in self._program.lines if line.at >= since]
        return [float(ms[1]) / 1e3 for text in lines if (ms := re.search(r"icmp_seq=\d+ .*time=([\d.]+) ms", text))]

    def _gaps(self) -> list[int]:
        numbers = self._numbers()
        return sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)

    def _numbers(self) -> set[int]:
        fresh = self._program.lines[self._read :]
        self._read += len(fresh)
        self._heard.update(int(found[1]) for line in fresh if (found := re.search(_ANSWER, line.text)))
        return self._heard
