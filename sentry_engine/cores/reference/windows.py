# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates of the reference core: sliding windows and strikes per source, and leaky buckets for unverified sources.

A window is a log of event times, exact to the nanosecond: at ``now`` an event of time t counts while
``now - t < window``. A refused event is not logged. Windows are keyed by event, not by limit, so counts survive a new
policy.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import field
from itertools import groupby

from sentry_engine.addresses import covers
from sentry_engine.cores.interface import Burst, Strikes
from sentry_engine.cores.nanoseconds import MAX_NANOSECONDS, NANOSECONDS, bound, reached, read_clock, to_nanoseconds
from sentry_engine.cores.plan import MAX_LIMIT_EVENTS, Limit
from sentry_engine.records import dataclass

MAX_SOURCES = 65_536  # rows; when full, the least recently counted source is evicted with its strikes
MAX_CELLS = 65_536  # buckets of unverified sources; when full, all are dropped, which bounds a spoofed flood


@dataclass(slots=True)
class SourceState:
    windows: dict[int, deque[int]] = field(default_factory=dict)  # by event; nanoseconds, oldest first
    strikes: int = 0
    remembered_until: float = 0.0  # when the strikes are forgotten


@dataclass(frozen=True, slots=True)
class StrikePreview:
    """The next violation of a source: the length of its penalty in seconds, and its number among the strikes."""

    seconds: float
    number: int
    blacklisted: bool


class SlidingWindows:
    """Windows and strikes by source (packed address and length). Not thread-safe: the core's lock is held."""

    def __init__(self, max_sources: int = MAX_SOURCES) -> None:
        self._max_sources = max_sources
        self._states: OrderedDict[tuple[bytes, int], SourceState] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._states)

    def wait(self, source: tuple[bytes, int], limit: Limit, now: float) -> float | None:
        """Seconds until one more event would pass; ``None``: it passes now. Counts nothing."""
        state = self._states.get(source)
        window = state.windows.get(limit.event) if state else None
        if not window:
            return None
        now_ns, span = read_clock(now), to_nanoseconds(limit.window)
        live = [t for t in window if now_ns - t < span]
        return (live[-limit.max_events] + span - now_ns) / NANOSECONDS if len(live) >= limit.max_events else None

    def count(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        window = self._state(source).windows.setdefault(limit.event, deque())
        now_ns, span = read_clock(now), to_nanoseconds(limit.window)
        while window and now_ns - window[0] >= span:
            window.popleft()
        window.append(now_ns)

    def preview_strike(self, source: tuple[bytes, int], limit: Limit, now: float) -> StrikePreview:
        """The strike that an event over the limit would cause now. Changes nothing."""
        state = self._states.get(source)
        remembered = state.strikes if state and not reached(now, state.remembered_until) else 0
        number = remembered + 1
        if 0 < limit.blacklist_threshold <= number:
            return StrikePreview(
                math.inf if limit.blacklist_ttl is None else bound(limit.blacklist_ttl), number, blacklisted=True
            )
        return StrikePreview(grown_penalty(limit, number), number, blacklisted=False)

    def strike(self, source: tuple[bytes, int], limit: Limit, strike: StrikePreview, now: float) -> None:
        """Record a strike and clear its window, so the source starts at zero when the penalty ends."""
        state = self._state(source)
        state.windows.pop(limit.event, None)
        state.strikes = strike.number
        state.remembered_until = bound(bound(max(now, 0.0) + strike.seconds) + limit.strike_memory)

    def pay_back(self, source: tuple[bytes, int], event: int, points: int) -> None:
        state = self._states.get(source)
        window: deque[int] = state.windows.get(event, deque()) if state else deque()
        for _ in range(min(points, len(window))):
            window.pop()

    def forget(self, inside: tuple[bytes, int]) -> None:
        """Remove the windows and strikes of all sources inside a packed prefix."""
        for source in [source for source in self._states if covers(inside, source)]:
            del self._states[source]

    def strikes(self, now: float) -> list[Strikes]:
        return [
            Strikes(*source, state.strikes, state.remembered_until)
            for source, state in self._states.items()
            if state.strikes and not reached(now, state.remembered_until)
        ]

    def restore_strikes(self, strikes: Strikes) -> None:
        state = self._state((strikes.network, strikes.length))
        state.strikes = max(state.strikes, strikes.count)
        state.remembered_until = max(state.remembered_until, bound(strikes.until))

    def bursts(self) -> list[Burst]:
        return [
            Burst(*source, event, moment / NANOSECONDS, moment / NANOSECONDS, sum(1 for _ in same))
            for source, state in self._states.items()
            for event, window in state.windows.items()
            for moment, same in groupby(window)
        ]

    def restore_burst(self, burst: Burst, now: float) -> None:
        window = self._state((burst.network, burst.length)).windows.setdefault(burst.event, deque())
        moment = min(to_nanoseconds(burst.last), read_clock(now))
        moment = max(moment, window[-1]) if window else moment
        window.extend([moment] * min(burst.count, MAX_LIMIT_EVENTS - len(window)))

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
    """The bucket of one source and event. Times are nanoseconds of the engine's clock."""

    free_at: int = 0  # theoretical arrival time of GCRA (ITU-T I.371): when the bucket is empty
    refused_until: float = 0  # ``inf``: without end


class UnverifiedRates:
    """Rates of sources that may be spoofed: a leaky bucket per source and event.

    The first N events pass at once, then one per window / N. Nothing here causes a strike, a penalty of the source, or
    the eviction of a verified source. The penalty of a limit refuses further unverified events of the same label only.
    The native core keeps these rates in a count-min sketch.
    """

    def __init__(self, max_cells: int = MAX_CELLS) -> None:
        self._max_cells = max_cells
        self._cells: dict[tuple[tuple[bytes, int], int], Cell] = {}

    def wait(self, source: tuple[bytes, int], limit: Limit, now: float) -> float | None:
        """Seconds until one more event would pass; ``None``: it passes now. Counts nothing."""
        cell = self._cells.get((source, limit.event), Cell())
        now_ns = read_clock(now)
        if now_ns < cell.refused_until:
            return (cell.refused_until - now_ns) / NANOSECONDS
        room = (limit.max_events - 1) * spacing(limit)
        excess = max(cell.free_at, now_ns) - now_ns - room
        if excess <= 0:
            return None
        return max(excess / NANOSECONDS, bound(limit.penalty))

    def count(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        cell = self._cell(source, limit)
        cell.free_at = max(cell.free_at, read_clock(now)) + spacing(limit)

    def refuse(self, source: tuple[bytes, int], limit: Limit, now: float) -> None:
        """Start the penalty of an event over the limit, unless one is running."""
        cell = self._cell(source, limit)
        now_ns = read_clock(now)
        if limit.penalty > 0 and now_ns >= cell.refused_until:
            end = now_ns + to_nanoseconds(limit.penalty)
            cell.refused_until = end if end < MAX_NANOSECONDS else math.inf

    def _cell(self, source: tuple[bytes, int], limit: Limit) -> Cell:
        key = (source, limit.event)
        if len(self._cells) >= self._max_cells and key not in self._cells:
            self._cells.clear()
        return self._cells.setdefault(key, Cell())


def spacing(limit: Limit) -> int:
    """Nanoseconds between two events at the rate of the limit."""
    return to_nanoseconds(limit.window) // limit.max_events


def grown_penalty(limit: Limit, strikes: int) -> float:
    """Length in seconds of the penalty for strike number ``strikes``."""
    try:
        seconds = limit.penalty * limit.penalty_growth ** (strikes - 1)
    except OverflowError:
        seconds = math.inf
    return bound(min(seconds, limit.penalty_max))
