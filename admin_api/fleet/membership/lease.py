# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own right to act for the fleet, by its own clock alone.

The others count a node as dead ``dead_after`` seconds after its last beat came in. The node itself stops earlier: the
time is taken before a beat is sent, and ``MARGIN`` comes off. So it never acts on what another node may have taken
over. The clock is one that also runs while the machine sleeps. No wall clock is compared with another machine's.
"""

from __future__ import annotations

import time

from sentry_engine.records import dataclass

MARGIN = 1.0  # seconds


def lease_clock() -> float:
    """Seconds of a clock that runs while the machine sleeps, as ``time.monotonic`` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the node acts: the pair is in each row that it owns."""

    node: int
    epoch: int


class Lease:
    """Written by the thread of the beats, read by any thread: each attribute is replaced as a whole."""

    def __init__(self, dead_after: float) -> None:
        self._length = dead_after - MARGIN
        self._until = float("-inf")
        self.identity: Identity | None = None  # None: not joined yet
        self.asserted = False  # the database has what this node carries, after a join or an interruption

    @property
    def until(self) -> float:
        """When the right ends, on ``lease_clock``; minus infinity: there is none."""
        return self._until

    def join(self, identity: Identity, sent_at: float) -> None:
        self.asserted = False
        self.identity = identity
        self._until = sent_at + self._length

    def extend(self, sent_at: float, now: float) -> None:
        """A beat that was sent at ``sent_at`` was answered at ``now``.

        After an interruption the node has to assert itself: also if the beat left before it and the answer ended it.
        """
        if now >= self._until:
            self.asserted = False
        self._until = max(self._until, sent_at + self._length)

    def end(self) -> None:
        """The node was fenced, or leaves."""
        self.asserted = False
        self._until = float("-inf")

    def is_heard(self, now: float) -> bool:
        """True while the others count this node as alive."""
        return now < self._until

    def holds(self, now: float) -> bool:
        """True while the node may decide for the fleet."""
        return self.asserted and now < self._until
