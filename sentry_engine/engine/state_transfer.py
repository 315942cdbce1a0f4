# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer of an engine's state to its successor, so that restarting does not reset failure counters.

The engine's clock restarts with the machine, so saved times are Unix time. ``offset`` is Unix time minus the engine's
clock, in seconds. If the wall clock was set back meanwhile, times in the future count as now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from heapq import nlargest
from operator import attrgetter

from sentry_engine.addresses import pack_network, render_network
from sentry_engine.cores.interface import Burst, Core, Penalty, Strikes
from sentry_engine.detectors import DetectorSet
from sentry_engine.detectors.location import Sighting
from sentry_engine.engine.blocks import make_block
from sentry_engine.engine.saved_state import (
    MAX_COUNTRY,
    MAX_EVENTS,
    MAX_SOURCES,
    MAX_USER,
    SavedBlock,
    SavedEvents,
    SavedPenalty,
    SavedSource,
    SavedUser,
    State,
    is_place,
)
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import PrefixRule


@dataclass(frozen=True, slots=True)
class Subject:
    """What is saved and restored: the state of a core and its detectors. ``labels``: the custom events, by number."""

    core: Core
    detectors: DetectorSet
    clock: Callable[[], float]
    offset: float
    labels: tuple[str, ...]
    name_event: Callable[[int], str]


def export_state(subject: Subject, blocks: Iterable[PrefixRule], now: float) -> State:
    core, detectors, offset = subject.core, subject.detectors, subject.offset
    sources, left_out = export_sources(subject, now)
    penalties = export_penalties(core, now, offset)
    return State(penalties, export_blocks(blocks), sources, save_users(detectors.locations(), offset), left_out)


def import_state(subject: Subject, state: State, number_event: Callable[[str], int | None]) -> int:
    """All but blocks. Returns how many penalties were put in force."""
    core, now, offset = subject.core, subject.clock(), subject.offset
    restored = import_penalties(core, state.penalties, now, offset)
    import_sources(core, state.sources, now, offset, number_event)
    import_users(subject.detectors, state.users, now, offset)
    return restored


def export_penalties(core: Core, now: float, offset: float) -> tuple[SavedPenalty, ...]:
    return tuple(save_penalty(penalty, offset) for penalty in core.penalties(now))


def save_penalty(penalty: Penalty, offset: float) -> SavedPenalty:
    return SavedPenalty(penalty.text, _to_unix(penalty.until, offset), penalty.reason, penalty.rule_id)


def import_penalties(core: Core, saved: Iterable[SavedPenalty], now: float, offset: float) -> int:
    """Returns how many were put in force: not those that ended meanwhile or are shorter than a penalty in force."""
    known = {(p.network, p.length): p.until for p in core.penalties(now)}
    restored = 0
    for penalty in saved:
        until, network = _to_clock(penalty.until, offset), pack_network(penalty.network)
        if until > max(now, known.get(network, now)):
            core.penalize(*network, until, penalty.reason, penalty.rule_id)
            restored += 1
    return restored


def export_blocks(blocks: Iterable[PrefixRule]) -> tuple[SavedBlock, ...]:
    return tuple(
        SavedBlock(b.id, tuple(render_network(*row) for row in b.prefixes), b.description, b.expires_at) for b in blocks
    )


def import_blocks(saved: Iterable[SavedBlock]) -> list[PrefixRule]:
    return [make_block(b.id, Prefixes.of(*b.networks), b.text, b.expires_at) for b in saved]


def export_sources(subject: Subject, now: float) -> tuple[tuple[SavedSource, ...], int]:
    """The ``MAX_SOURCES`` sources with the most strikes and events, and how many more there are."""
    core, offset, name_event = subject.core, subject.offset, subject.name_event
    strikes = {(s.network, s.length): s for s in core.strikes(now)}
    bursts: dict[tuple[bytes, int], list[Burst]] = {}
    for burst in core.bursts(now):
        bursts.setdefault((burst.network, burst.length), []).append(burst)
    found = [
        save_source(render_network(*source), strikes.get(source), bursts.get(source, ()), offset, name_event)
        for source in dict.fromkeys((*strikes, *bursts))
    ]
    chosen = found if len(found) <= MAX_SOURCES else nlargest(MAX_SOURCES, found, key=attrgetter("weight"))
    return tuple(chosen), len(found) - len(chosen)


def save_source(
    network: str, strikes: Strikes | None, bursts: Iterable[Burst], offset: float, name_event: Callable[[int], str]
) -> SavedSource:
    """``bursts`` of one event are in order, oldest first. Of more than ``MAX_EVENTS`` the newest are saved."""
    count, until = (0, math.inf) if strikes is None else (strikes.count, strikes.until)
    newest = list(bursts)
    if len(newest) > MAX_EVENTS:
        newest = sorted(newest, key=attrgetter("last"))[-MAX_EVENTS:]
    events = tuple(SavedEvents(name_event(b.event), b.first + offset, b.last + offset, b.count) for b in newest)
    return SavedSource(network, count, _to_unix(until, offset), events)


def import_sources(
    core: Core, saved: Iterable[SavedSource], now: float, offset: float, number_event: Callable[[str], int | None]
) -> int:
    """Returns the number of sources. Events that the policy in force does not know are skipped."""
    restored = 0
    for source in saved:
        network, length = pack_network(source.network)
        if source.strikes:
            strikes = Strikes(network, length, source.strikes, _to_clock(source.forgotten_at, offset))
            core.restore_strikes(strikes, now)
        for burst in source.events:
            number = number_event(burst.label)
            if number is not None:
                first, last = burst.first - offset, burst.last - offset
                core.restore_burst(Burst(network, length, number, first, last, burst.count), now)
        restored += 1
    return restored


def save_users(
    locations: Iterable[tuple[str, frozenset[str], Sighting | None]], offset: float
) -> tuple[SavedUser, ...]:
    """Leaves out malformed countries and coordinates, names that are too long, and users without a known location."""
    saved = []
    for user, countries, sighting in locations:
        known = tuple(sorted(country for country in countries if len(country) <= MAX_COUNTRY))
        if sighting is None or not is_place(*sighting[:2]):
            saved.append(SavedUser(user, known, None, None))
        else:
            saved.append(SavedUser(user, known, sighting[:2], sighting[2] + offset))
    return tuple(user for user in saved if len(user.user) <= MAX_USER and (user.countries or user.place))


def import_users(detectors: DetectorSet, saved: Iterable[SavedUser], now: float, offset: float) -> None:
    for user in saved:
        if user.countries:
            detectors.learn_countries(user.user, frozenset(user.countries))
        if user.place is not None and user.seen_at is not None:
            detectors.learn_sighting(user.user, (*user.place, min(user.seen_at - offset, now)))


def _to_unix(moment: float, offset: float) -> float | None:
    return moment + offset if math.isfinite(moment) else None


def _to_clock(moment: float | None, offset: float) -> float:
    return math.inf if moment is None else moment - offset
