# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of decisions for events, dashboards and simulation: bounded, and sampled under a flood.

It keeps the first ``per_second`` decisions of each second. Refusals and suspicions have a budget of their own, so a
flood of one kind does not hide the other. The next kept record tells how many were left out. Nothing is looked up or
rendered here: a reader looks up the location of an address when it shows the record.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Lock

from sentry_engine.addresses import render_address
from sentry_engine.records import dataclass
from sentry_engine.verdict import Verdict

MAX_RECORDS = 10_000  # kept for the reader; when full, the oldest is dropped and counted
PER_SECOND = 500  # records of each kind


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class Decision:
    """``at`` is Unix time, ``latency`` seconds, ``missed`` the number left out since the last record of the kind."""

    at: float
    event: str
    packed: bytes
    user: str | None
    verdict: Verdict
    latency: float
    note: str = ""  # the text of suspicions
    missed: int = 0

    @property
    def address(self) -> str:
        return render_address(self.packed)


class Budget:
    """At most ``per_second`` in each second of the clock."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._used = 0
        self.missed = 0

    def spend(self, now: float) -> bool:
        second = int(now)
        if second != self._second:
            self._second, self._used = second, 0
        if self._used >= self._per_second:
            self.missed += 1
            return False
        self._used += 1
        return True

    def take_missed(self) -> int:
        missed, self.missed = self.missed, 0
        return missed


class DecisionLog:
    """Thread-safe. One reader drains it."""

    def __init__(self, *, max_records: int = MAX_RECORDS, per_second: int = PER_SECOND) -> None:
        self._lock = Lock()
        self._records: deque[Decision] = deque(maxlen=max_records)
        self._accepted, self._refused = Budget(per_second), Budget(per_second)
        self._dropped = 0
        self._bell, self._armed = -1, False

    def set_bell(self, bell: int) -> None:
        """``bell``: an eventfd that outlives the log. Each ``arm_bell`` has the next record ring it once."""
        self._bell = bell

    def arm_bell(self) -> None:
        with self._lock:
            self._armed = self._bell >= 0

    def add(
        self, at: float, event: str, packed: bytes, user: str | None, verdict: Verdict, latency: float, note: str = ""
    ) -> None:
        budget = self._accepted if verdict.accepted and not note else self._refused
        with self._lock:
            if not budget.spend(at):
                return
            self._dropped += len(self._records) == self._records.maxlen
            self._records.append(Decision(at, event, packed, user, verdict, latency, note, budget.take_missed()))
            if self._armed:
                self._armed = False
                os.eventfd_write(self._bell, 1)

    def drain(self, most: int = MAX_RECORDS) -> list[Decision]:
        """Remove and return up to ``most`` records, oldest first."""
        with self._lock:
            return [self._records.popleft() for _ in range(min(most, len(self._records)))]

    @property
    def dropped(self) -> int:
        """Number of records dropped unread since the start."""
        return self._dropped
