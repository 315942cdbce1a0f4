# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an engine's state changed since it was told last, so that saving it costs what changed, not what is known.

What ended as time passed follows later, by the hour. Until then it stays saved, and importing it restores nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from sentry_engine.addresses import render_network
from sentry_engine.cores.interface import ChangesUnknownError, SourceState
from sentry_engine.engine.saved_state import MAX_SOURCES, SavedPenalty, SavedSource, SavedUser
from sentry_engine.engine.state_transfer import Subject, save_penalty, save_source, save_users
from sentry_engine.records import dataclass

MAX_CHANGES = MAX_SOURCES  # networks; of more, not all are saved
CHANGES_AT_A_TIME = 1_024  # networks, or users, of one StateChanges
BURSTS_AT_A_TIME = 2_048  # of one StateChanges, but for those of its last network: to write them as JSON takes 3 ms
MAX_DRIFT = 1.0  # seconds that the wall clock may move before what was saved by it is saved again


@dataclass(frozen=True, slots=True)
class StateChanges:
    """By network and by user what is known of them now. ``None``: nothing, delete what was saved."""

    penalties: Mapping[str, SavedPenalty | None]
    sources: Mapping[str, SavedSource | None]
    users: Mapping[str, SavedUser | None]


@dataclass(frozen=True, slots=True)
class WholeState:
    """``changes`` tell all that is known. What was saved of other networks and users is to be deleted.

    ``left_out`` is the number of sources beyond ``MAX_SOURCES``, the lightest.
    """

    penalties: Collection[str]
    sources: Collection[str]
    users: Collection[str]
    left_out: int
    changes: Iterator[StateChanges]


class ChangeTaker:
    """Takes the marks of a core and its detectors, for one caller at a time."""

    def __init__(self) -> None:
        self._offset: float | None = None  # by which all was saved
        self._labels: tuple[str, ...] = ()

    def take(self, subject: Subject) -> Iterator[StateChanges]:
        """Returns the changes since the last call, in parts, each read as it is asked for.

        Raises ``ChangesUnknownError``: save the whole state. That is so at the first call (``first``), in a flood
        (``many``, ``overflow``), after a step of the wall clock (``clock``), and if the number of an event got another
        label (``labels``).
        """
        try:
            networks, users = self._take_marks(subject)
        except ChangesUnknownError:
            self._offset = subject.offset
            raise
        finally:
            self._labels = subject.labels
        states = subject.core.read_networks(_take_each(networks), subject.clock)
        return chain(
            _save_networks(subject, ((state, True, True) for state in states)),
            _save_users(subject, users),
        )

    def _take_marks(self, subject: Subject) -> tuple[list[tuple[bytes, int]], Collection[str]]:
        users = subject.detectors.take_changed()
        try:
            networks = subject.core.take_changes(subject.clock(), MAX_CHANGES)
        except ChangesUnknownError as error:
            raise ChangesUnknownError("first" if self._offset is None else error.reason) from None
        if self._offset is None:
            raise ChangesUnknownError("first")
        if abs(subject.offset - self._offset) > MAX_DRIFT:
            raise ChangesUnknownError("clock")
        if subject.labels[: len(self._labels)] != self._labels:
            raise ChangesUnknownError("labels")
        if users is None:
            raise ChangesUnknownError("many")
        return networks, users


def take_whole(subject: Subject) -> WholeState:
    """All that is known. Requires that the marks were taken before: what changes from now on is marked again."""
    core, users = subject.core, subject.detectors.users()
    known = core.list_known(subject.clock(), MAX_SOURCES)
    penalties, sources = set(), set()
    for row in known.rows:
        text = render_network(row.network, row.length)
        if row.in_penalty:
            penalties.add(text)
        if row.is_source:
            sources.add(text)
    states = core.read_networks(((row.network, row.length) for row in known.rows), subject.clock)
    wanted = ((state, row.in_penalty, row.is_source) for row, state in zip(known.rows, states, strict=True))
    changes = chain(_save_networks(subject, wanted), _save_users(subject, users))
    return WholeState(penalties, sources, users, known.left_out, changes)


def _take_each(networks: list[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """Frees each as it goes: to free 65 536 at once would take some ms, in which no other thread runs."""
    while networks:
        yield networks.pop()


def _save_networks(subject: Subject, wanted: Iterable[tuple[SourceState, bool, bool]]) -> Iterator[StateChanges]:
    """``wanted``: states, each with whether its penalty and whether its source is wanted."""
    penalties: dict[str, SavedPenalty | None] = {}
    sources: dict[str, SavedSource | None] = {}
    count = bursts = 0
    for state, of_penalty, of_source in wanted:
        text = state.text
        if of_penalty:
            penalties[text] = None if state.penalty is None else save_penalty(state.penalty, subject.offset)
        if of_source:
            sources[text] = _save_source(text, state, subject)
        count, bursts = count + 1, bursts + len(state.bursts)
        if count == CHANGES_AT_A_TIME or bursts >= BURSTS_AT_A_TIME:
            yield StateChanges(penalties, sources, {})
            penalties, sources, count, bursts = {}, {}, 0, 0
    if count:
        yield StateChanges(penalties, sources, {})


def _save_users(subject: Subject, users: Iterable[str]) -> Iterator[StateChanges]:
    for known in subject.detectors.locations_of(users):
        saved = {user.user: user for user in save_users(known, subject.offset)}
        yield StateChanges({}, {}, {name: saved.get(name) for name, _, _ in known})


def _save_source(text: str, state: SourceState, subject: Subject) -> SavedSource | None:
    if state.strikes is None and not state.bursts:
        return None
    return save_source(text, state.strikes, state.bursts, subject.offset, subject.name_event)
