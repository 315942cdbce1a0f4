# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins by user that the nodes of a fleet tell each other, so that ``user_throttle`` counts those of all. Pure.

Nothing of a login waits for this. A user's first failures at a node are not told: they are slips. Users are told by
MACs under a key that the nodes share, since a name may be anything that a client sends. Those of a virtual host's users
begin with that of the host; those of the server's own are as nodes have them that know of no hosts here.
"""

from __future__ import annotations

from heapq import nlargest
from typing import Protocol
from weakref import WeakSet

UNTOLD_FAILURES = 3  # of a user at each node
MAX_UNTOLD = 1024  # users that wait to be told


class Listener(Protocol):
    """What counts failures here."""

    def hear_failures(self, name: bytes, count: int, now: float) -> None:
        """The user ``name`` has failed ``count`` times at other nodes."""


class SharedFailures:
    """``key``: of the MACs, the same on all nodes. ``left_out`` counts users that were not told: too many failed."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.left_out = 0
        self._throttles: WeakSet[Listener] = WeakSet()
        self._untold: dict[bytes, tuple[float, int]] = {}  # score and failures, by user

    def add(self, throttle: Listener) -> None:
        """Have ``throttle`` hear of the failures at other nodes, as long as it is in use."""
        self._throttles.add(throttle)

    def note(self, user: bytes, score: float) -> None:
        """A login of ``user`` has failed here; ``score``: what counts of its failures by now."""
        if score <= UNTOLD_FAILURES:
            return
        _, count = self._untold.get(user, (0.0, 0))
        if count or len(self._untold) < MAX_UNTOLD:
            self._untold[user] = (score, count + 1)
        else:
            self.left_out += 1

    def take_worst(self, most: int) -> list[tuple[bytes, int]]:
        """Returns the users with the highest scores and their failures since the last call; the others are left out."""
        untold, self._untold = self._untold, {}
        worst = nlargest(most, untold.items(), key=lambda item: item[1])
        self.left_out += len(untold) - len(worst)
        return [(user, count) for user, (_, count) in worst]

    def hear(self, user: bytes, count: int, now: float) -> None:
        """``count`` logins of ``user`` have failed at another node."""
        for throttle in self._throttles:
            throttle.hear_failures(user, count, now)
