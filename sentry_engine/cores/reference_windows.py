# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting events per source: sliding windows and strikes (exact), and the sketch for sources that may be spoofed.

The window is a log of times, so "the first N in any window pass" holds to the nanosecond: at ``now`` an event of time t
counts while ``now - t < window``. A refused event is not stored. Windows are kept by event, not by limit, so that a new
policy finds the counts of the old one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import groupby

from sentry_engine.addresses import covers
from sentry_engine.cores.interface import Burst, Strikes
from sentry_engine.cores.nanoseconds import NANOSECONDS, reached, to_nanoseconds
from sentry_engine.cores.plan import Limit

MAX_SOURCES = 65_536  # rows; when full the source that was quiet longest makes room, its windows and strikes forgotten
MAX_EVENTS = 65_535  # in a window: the largest limit there is
MAX_SKETCH_CELLS = 65_536  # cells; a full sketch starts over, so that a spoofed flood costs memory only up to here


@dataclass(slots=True)
class SourceState:
    windows: dict[int, deque[int]] = field(default_factory=dict)  # by event; nanoseconds, oldest first
    strikes: int = 0
    remembered_until: float = 0.0  # when the strikes start over


@dataclass(frozen=True, slots=True)
class Strike:
    """A violation: how long its penalty lasts (seconds), and which in a row it is."""

    seconds: float
    number: int
    blacklisted: bool


class Rates:
    """States by source (packed address and length)."""

    def __init__(self, max_sources: int = MAX_SOURCES) -> None:
        self._max_sources = max_sources
        self._states: OrderedDict[tuple[bytes, int], SourceState] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._states)

    def wait(self, source: tuple[bytes, int], limit: Limit, now: float) -> float | None:
        """Seconds until one more event would pass, ``None`` if it passes now. Counts nothing."""
        state = self._states.get(source)
        window = state.windows.get(limit.event) if state else None
        if not window:
            return None
        now_ns, span = to_nanoseconds(now), to_nanoseconds(limit.window)
        live = [t for t in window if now_ns - t < span]
        return (live[-limit.max_events] + span - now_ns) / NANOSECONDS if len(live) >= limit.max_events else None

    def count(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        window = self._state(source).windows.setdefault(limit.event, deque())
        now_ns, span = to_nanoseconds(now), to_nanoseconds(limit.window)
        while window and now_ns - window[0] >= span:
            window.popleft()
        window.append(now_ns)

    def foresee(self, source: tuple[bytes, int], limit: Limit, now: float) -> Strike:
        """The strike that one event too many would be. Changes nothing."""
        state = self._states.get(source)
        remembered = state.strikes if state and not reached(now, state.remembered_until) else 0
        number = remembered + 1
        if 0 < limit.blacklist_threshold <= number:
            return Strike(
                float("inf") if limit.blacklist_ttl is None else limit.blacklist_ttl, number, blacklisted=True
            )
        return Strike(grown_penalty(limit, number), number, blacklisted=False)

    def strike(self, source: tuple[bytes, int], limit: Limit, strike: Strike, now: float) -> None:
        """Note a strike and clear the window it came from, so that the end of its penalty is a fresh start."""
        state = self._state(source)
        state.windows.pop(limit.event, None)
        state.strikes = strike.number
        state.remembered_until = now + strike.seconds + limit.strike_memory

    def pay_back(self, source: tuple[bytes, int], event: int, points: int) -> None:
        state = self._states.get(source)
        window: deque[int] = state.windows.get(event, deque()) if state else deque()
        for _ in range(min(points, len(window))):
            window.pop()

    def forget(self, inside: tuple[bytes, int]) -> None:
        """Drop the states of the sources inside a packed prefix."""
        for source in [source for source in self._states if covers(inside, source)]:
            del self._states[source]

    def strikes(self, now: float) -> list[Strikes]:
        return [
            Strikes(*source, state.strikes, state.remembered_until)
            for source, state in self._states.items()
            if state.strikes and not reached(now, state.remembered_until)
        ]

    def remember(self, strikes: Strikes) -> None:
        state = self._state((strikes.network, strikes.length))
        state.strikes = max(state.strikes, strikes.count)
        state.remembered_until = max(state.remembered_until, strikes.until)

    def bursts(self) -> list[Burst]:
        return [
            Burst(*source, event, moment / NANOSECONDS, moment / NANOSECONDS, sum(1 for _ in same))
            for source, state in self._states.items()
            for event, window in state.windows.items()
            for moment, same in groupby(window)
        ]

    def restore(self, burst: Burst, now: float) -> None:
        window = self._state((burst.network, burst.length)).windows.setdefault(burst.event, deque())
        moment = min(to_nanoseconds(burst.last), to_nanoseconds(now))
        moment = max(moment, window[-1]) if window else moment
        window.extend([moment] * min(burst.count, MAX_EVENTS - len(window)))

    def _state(self, source: tuple[bytes, int]) -> SourceState:
        state = self._states.get(source)
        if state is None:
            while len(self._states) >= self._max_sources:
                self._states.popitem(last=False)
                self.evicted += 1
            state = self._states[source] = SourceState()
        self._states.move_to_end(source)
        return state


@dataclass(slots=True)
class Cell:
    """One source and event of the sketch; nanoseconds of the engine's clock."""

    free_at: int = 0  # the theoretical arrival time of GCRA (ITU-T I.371): when the bucket will be empty
    refused_until: int = 0


class Sketch:
    """Unverified events per source and event, as a leaky bucket: the first N pass at once, then one per window / N.

    Nothing here is a strike, a penalty of the source, or a row that could push out a real one. A limit's penalty
    refuses further unverified events of the same label, and nothing else.
    """

    def __init__(self, max_cells: int = MAX_SKETCH_CELLS) -> None:
        self._max_cells = max_cells
        self._cells: dict[tuple[tuple[bytes, int], int], Cell] = {}

    def wait(self, source: tuple[bytes, int], limit: Limit, now: float) -> float | None:
        """Seconds until one more event would pass, ``None`` if it passes now. Counts nothing."""
        cell = self._cells.get((source, limit.event), Cell())
        now_ns = to_nanoseconds(now)
        if now_ns < cell.refused_until:
            return (cell.refused_until - now_ns) / NANOSECONDS
        room = (limit.max_events - 1) * spacing(limit)
        excess = max(cell.free_at, now_ns) - now_ns - room
        if excess <= 0:
            return None
        return max(excess / NANOSECONDS, limit.penalty)

    def count(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        cell = self._cell(source, limit)
        cell.free_at = max(cell.free_at, to_nanoseconds(now)) + spacing(limit)

    def refuse(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        """Start the penalty of an event too many, unless it runs already."""
        cell = self._cell(source, limit)
        now_ns = to_nanoseconds(now)
        if limit.penalty > 0 and now_ns >= cell.refused_until:
            cell.refused_until = now_ns + to_nanoseconds(limit.penalty)

    def _cell(self, source: tuple[bytes, int], limit: Limit) -> Cell:
        key = (source, limit.event)
        if len(self._cells) >= self._max_cells and key not in self._cells:
            self._cells.clear()
        return self._cells.setdefault(key, Cell())


def spacing(limit: Limit) -> int:
    """Nanoseconds between two events at the limit's rate."""
    return to_nanoseconds(limit.window) // limit.max_events


def grown_penalty(limit: Limit, strikes: int) -> float:
    """Seconds of the penalty number ``strikes``."""
    try:
        seconds = limit.penalty * limit.penalty_growth ** (strikes - 1)
    except OverflowError:
        return limit.penalty_max
    return min(seconds, limit.penalty_max)
