# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers above in memory: users, journal, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vpn_frontend.ports import CloseReason, SessionView, UserRecord


class MemoryDirectory:
    """A ``UserDirectory``. ``error`` is raised by every look-up while it is set."""

    def __init__(self, users: Iterable[UserRecord] = ()) -> None:
        self.users = {user.name: user for user in users}
        self.error: Exception | None = None

    async def find(self, name: str) -> UserRecord | None:
        if self.error is not None:
            raise self.error
        return self.users.get(name)


class MemoryJournal:
    """A ``SessionJournal`` that holds its users to "exactly one opened and one closed"."""

    def __init__(self) -> None:
        self.open: dict[str, SessionView] = {}
        self.ended: dict[str, tuple[SessionView, CloseReason]] = {}

    async def opened(self, view: SessionView) -> None:
        if view.id in self.open or view.id in self.ended:
            raise ValueError(f"session {view.id} was opened before")
        self.open[view.id] = view

    async def closed(self, view: SessionView, reason: CloseReason) -> None:
        del self.open[view.id]
        self.ended[view.id] = (view, reason)

    async def checkpoint(self, views: Sequence[SessionView]) -> None:
        for view in views:
            if view.id in self.open:
                self.open[view.id] = view

    async def close_orphans(self) -> int:
        count = len(self.open)
        self.open.clear()
        return count


class MemoryEvents:
    """An ``EventSink`` that keeps all."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def emit(self, kind: str, **fields: object) -> None:
        self.seen.append((str(kind), fields))

    def of(self, kind: str) -> list[dict[str, object]]:
        return [fields for seen, fields in self.seen if seen == kind]
