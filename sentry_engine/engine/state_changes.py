# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an engine's state changed since it was told last, so that saving it costs what changed, not what is known.

What ends as time passes is no change: what was saved of it stays saved, and importing that restores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sentry_engine.cores.interface import Core, SourceState
from sentry_engine.detectors import DetectorSet
from sentry_engine.engine.saved_state import SavedPenalty, SavedSource, SavedUser
from sentry_engine.engine.state_transfer import save_penalty, save_source, save_users
from sentry_engine.records import dataclass

MAX_CHANGES = 16_384  # networks; of more, the whole state is cheaper to save
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
    ) -> StateChanges | None:
        """Returns the changes since the last call. ``None``: they are not known one by one, save the whole state.

        That is so at the first call, under another policy, which limits other events, and after a step of the wall
        clock, by which everything was saved.
        """
        states, users = core.take_changes(now, MAX_CHANGES), detectors.take_changed()
        is_other = policy_version != self._policy_version or abs(offset - self._offset) > MAX_DRIFT
        if is_other:
            self._policy_version, self._offset = policy_version, offset
        if is_other or states is None or users is None:
            return None
        saved = {user.user: user for user in save_users(users, offset)}
        return StateChanges(
            {s.text: None if s.penalty is None else save_penalty(s.penalty, offset) for s in states},
            {s.text: _save_source(s, offset, name_event) for s in states},
            {name: saved.get(name) for name, _, _ in users},
        )


def _save_source(state: SourceState, offset: float, name_event: Callable[[int], str]) -> SavedSource | None:
    if state.strikes is None and not state.bursts:
        return None
    return save_source(state.text, state.strikes, state.bursts, offset, name_event)
