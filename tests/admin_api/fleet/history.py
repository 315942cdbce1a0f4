# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients of several nodes saw, and whether it could have happened in a fleet that keeps its promises.

Times are of one clock, since all nodes of the test are in one process. A session is *definitely* held from the answer
of its admission to the call of its release, and *possibly* held from the call of its admission to the answer of its
release. More definite holders than the limit are a violation. A refusal is false if at no instant between its call and
its answer the possible holders, the refused one left out, could have filled the limit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER = float("inf")


@dataclass
class Operation:
    key: str  # a user, or an address
    called: float
    result: str = "unknown"  # or ok, full
    answered: float = NEVER
    released: float = NEVER  # the call
    confirmed: float = NEVER  # its answer


@dataclass
class History:
    operations: list[Operation] = field(default_factory=list)

    def begin(self, key: str, now: float) -> Operation:
        operation = Operation(key, now)
        self.operations.append(operation)
        return operation

    def count(self, result: str) -> int:
        return sum(one.result == result for one in self.operations)

    def violations(self, limit: int, leave_out: Sequence[tuple[float, float]] = ()) -> list[str]:
        """Each admission that made more than ``limit`` definite holders of its key.

        ``leave_out``: beginnings and ends of times in which more are allowed.
        """
        found = []
        for key, own in self._by_key():
            held = [(one.answered, one.released) for one in own if one.result == "ok"]
            peaks = (at for at in _peaks(held, limit) if not any(start <= at <= end for start, end in leave_out))
            found += [f"{key} at {at:.6f}" for at in peaks]
        return found

    def false_refusals(self, limit: int, leave_out: Sequence[tuple[float, float]] = ()) -> list[str]:
        """``leave_out``: times in which holders count that the clients know nothing of."""
        found = []
        for key, own in self._by_key():
            possible = [one for one in own if one.result != "full"]
            refused = [one for one in own if one.result == "full" and not _meets(one, leave_out)]
            false = [one for one in refused if _most(possible, one.called, one.answered) < limit]
            found += [f"{key} at {one.called:.6f}" for one in false]
        return found

    def _by_key(self):
        keys = defaultdict(list)
        for one in self.operations:
            keys[one.key].append(one)
        return keys.items()


def _meets(one, times):
    return any(one.called <= end and one.answered >= start for start, end in times)


def _edges(spans):
    """In the order of time; of an end and a beginning at one instant the end comes first."""
    return sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])


def _peaks(spans, limit):
    held = 0
    for at, change in _edges(spans):
        held += change
        if change > 0 and held > limit:
            yield at


def _most(operations, start, end):
    spans = [(max(one.called, start), min(one.confirmed, end)) for one in operations]
    held = most = 0
    for _, change in sorted(
        _edges([span for span in spans if span[0] <= span[1]]), key=lambda edge: (edge[0], -edge[1])
    ):
        held += change
        most = max(most, held)
    return most
