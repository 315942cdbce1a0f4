# SPDX-License-Identifier: GPL-3.0-or-later
"""In-memory directory, journal and event sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.ports import SESSION_ROW, OpenRecord, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from vpn_frontend.ports import CloseReason, JournalEntry, SessionView, Usage, UserRecord
    from vpn_frontend.settings import Address


class MemoryDirectory:
    """A ``UserDirectory``. Look-ups raise ``error`` while it is set. With ``recalls`` every user is cached."""

    def __init__(self, users: Iterable[UserRecord] = (), *, recalls: bool = False) -> None:
        self.users = {user.name: user for user in users}
        self.error: Exception | None = None
        self.recalls = recalls

    async def find(self, name: str) -> UserRecord | None:
        if self.error is not None:
            raise self.error
        return self.users.get(name)

    def recall(self, name: str) -> UserRecord | None:
        return self.users.get(name) if self.recalls and self.error is None else None

    async def hash_samples(self) -> Sequence[str]:
        return [user.password_hash for user in self.users.values() if user.password_hash is not None]


def row_of(view: SessionView) -> dict[str, object]:
    """The columns that a journal keeps of a session."""
    return {name: getattr(view, name) for name in SESSION_ROW}


class MemoryJournal:
    """A ``SessionJournal`` that checks for exactly one ``OPENED`` and one ``CLOSED`` per session."""

    def __init__(self) -> None:
        self.open: dict[str, SessionView] = {}
        self.ended: dict[str, tuple[SessionView, CloseReason]] = {}
        self.resumptions: dict[str, str] = {}

    async def record(self, entries: Sequence[JournalEntry]) -> Sequence[tuple[JournalEntry, Exception]]:
        left_out: list[tuple[JournalEntry, Exception]] = []
        for entry in entries:
            try:
                self._take(entry)
            except (ValueError, KeyError) as error:
                left_out.append((entry, error))
        return left_out

    def _take(self, entry: JournalEntry) -> None:
        view = entry.view
        if entry.resumption:
            self.resumptions[view.id] = entry.resumption
        if entry.stage is Stage.OPENED:
            if view.id in self.open or view.id in self.ended:
                raise ValueError(f"session {view.id} was opened before")
            self.open[view.id] = view
        elif entry.reason is not None:
            del self.open[view.id]
            self.ended[view.id] = (view, entry.reason)
        elif view.id in self.open:
            self.open[view.id] = view

    async def used_so_far(self) -> dict[str, Usage]:
        return {}

    async def has_logged_in(self, user: str, address: Address) -> bool:
        views = (*self.open.values(), *(view for view, _ in self.ended.values()))
        return any((view.user, view.address) == (user, address) for view in views)

    async def open_records(self) -> list[OpenRecord]:
        found = [(view, self.resumptions[view.id]) for view in self.open.values() if view.id in self.resumptions]
        return [
            OpenRecord(view.id, text, view.counters.rx_bytes + view.counters.tx_bytes, row_of(view))
            for view, text in found
        ]

    async def close_orphans(self, keep: Collection[str] = ()) -> int:
        orphans = [session for session in self.open if session not in keep]
        for session in orphans:
            del self.open[session]
        return len(orphans)


class MemoryEvents:
    """An ``EventSink`` that keeps all events."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def emit(self, kind: str, **fields: object) -> None:
        self.seen.append((str(kind), fields))

    def of(self, kind: str) -> list[dict[str, object]]:
        return [fields for seen, fields in self.seen if seen == kind]
