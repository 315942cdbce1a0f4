# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of events as callers write them, and the numbers that cores know them by."""

from __future__ import annotations

from sentry_engine.verdict import Event

EventName = Event | str | int

LOGINS = frozenset({Event.AUTH_FAILURE, Event.AUTH_SUCCESS})
EVENT_NUMBERS: dict[EventName, int] = {e.name.lower(): int(e) for e in Event} | {int(e): int(e) for e in Event}
EVENT_LABELS = {int(e): e.name.lower() for e in Event}
