# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an engine's state changed since it was told last, so that saving it costs what changed, not what is known.

What ended as time passed follows later, by the hour. Until then it stays saved, and importing it restores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from sentry_engine.cores.interface import Core, SourceState
from sentry_engine.detectors import DetectorSet
from sentry_engine.detectors.location import Sighting
from sentry_engine.engine.saved_state import MAX_SOURCES, SavedPenalty, SavedSource, SavedUser
from sentry_engine.engine.state_transfer import save_penalty, save_source, save_users
from sentry_engine.records import dataclass

MAX_CHANGES = MAX_SOURCES  # networks; of more, not all are saved
CHANGES_AT_A_TIME = 1_024  # networks, or users, of one StateChanges
MAX_DRIFT = 1.0  # seconds that the wall clock may move before what was saved by it is saved again


@dataclass(frozen=True, slots=True)
class StateChanges:
    """By network and by user what is known of them now. ``None``: nothing, delete what was saved."""

    penalties: Mapping[str, SavedPenalty | None]
    sources: Mapping[str, SavedSource | None]
    users: Mapping[str, SavedUser | None]


class ChangeTaker:
    """Takes the marks of a core and its detectors, for one caller at a time."""

    def __init__(self) -> None:
        self._policy_version = -1
        self._offset = 0.0

    def take(
        self,
        core: Core,
        detectors: DetectorSet,
        now: float,
        offset: float,
        policy_version: int,
        name_event: Callable[[int], str],
    ) -> Iterator[StateChanges] | None:
        """Returns the changes since the last call, in parts, each read as it is asked for.

        ``None``: they are not known one by one, save the whole state. That is so at the first call, under another
        policy, which limits other events, after a step of the wall clock, by which all was saved, and in a flood.
        """
        states, users = core.take_changes(now, MAX_CHANGES), detectors.take_changed()
        is_other = policy_version != self._policy_version or abs(offset - self._offset) > MAX_DRIFT
        if is_other:
            self._policy_version, self._offset = policy_version, offset
        if is_other or states is None or users is None:
            return None
        return chain(
            _save_sources(states, offset, name_event),
            (_save_users(some, offset) for some in detectors.locations_of(users)),
        )


def _save_sources(
    states: Iterable[SourceState], offset: float, name_event: Callable[[int], str]
) -> Iterator[StateChanges]:
    rest = iter(states)
    while some := list(islice(rest, CHANGES_AT_A_TIME)):
        yield StateChanges(
            {s.text: None if s.penalty is None else save_penalty(s.penalty, offset) for s in some},
            {s.text: _save_source(s, offset, name_event) for s in some},
            {},
        )


def _save_users(known: Sequence[tuple[str, frozenset[str], Sighting | None]], offset: float) -> StateChanges:
    saved = {user.user: user for user in save_users(known, offset)}
    return StateChanges({}, {}, {name: saved.get(name) for name, _, _ in known})


def _save_source(state: SourceState, offset: float, name_event: Callable[[int], str]) -> SavedSource | None:
    if state.strikes is None and not state.bursts:
        return None
    return save_source(state.text, state.strikes, state.bursts, offset, name_event)
