# SPDX-License-Identifier: GPL-3.0-or-later
"""Events by label, as callers write them, and by number, as cores know them."""

from __future__ import annotations

from collections.abc import Sequence

from sentry_engine.verdict import FIRST_CUSTOM_EVENT, Event

EventName = Event | str | int

LOGIN_EVENTS = frozenset({Event.AUTH_FAILURE, Event.AUTH_SUCCESS})
BUILTIN_NUMBERS: dict[EventName, int] = {e.name.lower(): int(e) for e in Event} | {int(e): int(e) for e in Event}
BUILTIN_LABELS = {int(e): e.name.lower() for e in Event}


class EventNames:
    """The events of one plan. Immutable."""

    def __init__(self, custom_labels: Sequence[str] = ()) -> None:
        """``custom_labels`` are numbered from ``FIRST_CUSTOM_EVENT``."""
        self.custom_labels = tuple(custom_labels)
        custom = {label: FIRST_CUSTOM_EVENT + i for i, label in enumerate(self.custom_labels)}
        self.numbers = BUILTIN_NUMBERS | custom | {number: number for number in custom.values()}
        self._labels = BUILTIN_LABELS | {number: label for label, number in custom.items()}

    def number_of(self, event: EventName) -> int:
        """Raises ``ValueError`` for an event that is neither built in nor declared by the policy."""
        number = self.numbers.get(event)
        if number is None:
            raise ValueError(f"unknown event {event!r}")
        return number

    def label_of(self, number: int) -> str:
        """Raises ``KeyError`` for an unknown number."""
        return self._labels[number]
