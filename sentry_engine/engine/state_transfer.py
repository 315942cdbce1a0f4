# SPDX-License-Identifier: GPL-3.0-or-later
"""What a core knows of its sources and the detectors of users, taken out of one engine and put into the next, so that a
restart gives nobody a free attempt.

An engine's clock begins anew with the machine, so times travel as Unix time: ``offset`` is what to add to the engine's
time to get it. Where the wall clock was set back meanwhile, what seems to lie in the future counts as of now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from heapq import nlargest
from operator import attrgetter

from sentry_engine.addresses import pack_network, render_network
from sentry_engine.cores.interface import Burst, Core, Strikes
from sentry_engine.detectors import DetectorSet
from sentry_engine.engine.saved_state import (
    MAX_COUNTRY,
    MAX_SOURCES,
    MAX_USER,
    SavedEvents,
    SavedPenalty,
    SavedSource,
    SavedUser,
    is_place,
)

NO_STRIKES = (0, math.inf)  # nothing to forget


def export_penalties(core: Core, now: float, offset: float) -> tuple[SavedPenalty, ...]:
    return tuple(SavedPenalty(p.text, _to_unix(p.until, offset), p.reason, p.rule_id) for p in core.penalties(now))


def import_penalties(core: Core, kept: Iterable[SavedPenalty], now: float, offset: float) -> int:
    """Returns how many had not ended meanwhile. None shortens one that is in force."""
    known = {(p.network, p.length): p.until for p in core.penalties(now)}
    restored = 0
    for penalty in kept:
        until, network = _to_clock(penalty.until, offset), pack_network(penalty.network)
        if until > max(now, known.get(network, now)):
            core.penalize(*network, until, penalty.reason, penalty.rule_id)
            restored += 1
    return restored


def export_sources(
    core: Core, now: float, offset: float, name_event: Callable[[int], str]
) -> tuple[tuple[SavedSource, ...], int]:
    """The ``MAX_SOURCES`` that have the most to be remembered for, and how many more there are."""
    strikes = {(s.network, s.length): (s.count, s.until) for s in core.strikes(now)}
    events: dict[tuple[bytes, int], list[SavedEvents]] = {}
    for b in core.bursts(now):
        burst = SavedEvents(name_event(b.event), b.first + offset, b.last + offset, b.count)
        events.setdefault((b.network, b.length), []).append(burst)
    found = []
    for source in strikes | events:
        count, until = strikes.get(source, NO_STRIKES)
        network, bursts = render_network(*source), tuple(events.get(source, ()))
        found.append(SavedSource(network, count, _to_unix(until, offset), bursts))
    kept = found if len(found) <= MAX_SOURCES else nlargest(MAX_SOURCES, found, key=attrgetter("weight"))
    return tuple(kept), len(found) - len(kept)


def import_sources(
    core: Core, kept: Iterable[SavedSource], now: float, offset: float, number_event: Callable[[str], int | None]
) -> int:
    """Returns how many there were. An event that the policy in force does not know is nothing to remember."""
    restored = 0
    for source in kept:
        network, length = pack_network(source.network)
        if source.strikes:
            core.restore_strikes(Strikes(network, length, source.strikes, _to_clock(source.forgotten_at, offset)), now)
        for burst in source.events:
            number = number_event(burst.label)
            if number is not None:
                first, last = burst.first - offset, burst.last - offset
                core.restore_burst(Burst(network, length, number, first, last, burst.count), now)
        restored += 1
    return restored


def export_users(detectors: DetectorSet, offset: float) -> tuple[SavedUser, ...]:
    """Leaves out what is no country or place, whatever a database said, and users whose names are too long."""
    kept = []
    for user, countries, sighting in detectors.locations():
        known = tuple(sorted(country for country in countries if len(country) <= MAX_COUNTRY))
        if sighting is None or not is_place(*sighting[:2]):
            kept.append(SavedUser(user, known, None, None))
        else:
            kept.append(SavedUser(user, known, sighting[:2], sighting[2] + offset))
    return tuple(user for user in kept if len(user.user) <= MAX_USER and (user.countries or user.place))


def import_users(detectors: DetectorSet, kept: Iterable[SavedUser], now: float, offset: float) -> None:
    for user in kept:
        if user.countries:
            detectors.learn_countries(user.user, frozenset(user.countries))
        if user.place is not None and user.seen_at is not None:
            detectors.learn_sighting(user.user, (*user.place, min(user.seen_at - offset, now)))


def _to_unix(moment: float, offset: float) -> float | None:
    return moment + offset if math.isfinite(moment) else None


def _to_clock(moment: float | None, offset: float) -> float:
    return math.inf if moment is None else moment - offset
