# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of users and groups by other nodes, for the sessions of this one, and what else only has to be read again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from vpn_frontend.sessions.fleet.port import pack_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from admin_api.clock import Clock
    from admin_api.fleet.changes.changes import Change
    from admin_api.ports import LiveSessions
    from admin_api.store import Store, UnitOfWork
    from sentry_engine import Engine
    from vpn_frontend.ports import UserRecord
    from vpn_frontend.sessions.effective_settings import SettingsResolver

USER, GROUP, KILL = "user", "group", "kill_user"  # kinds of changes; the key is the user's or group's
KILL_SESSION = "kill_session"  # the key is the session's
FIND = text(
    "SELECT user_key FROM fleet.sessions WHERE id = :id AND NOT void AND NOT ghost"
    " UNION SELECT user_key FROM fleet.logins WHERE id = :id AND NOT ended AND expires_at > clock_timestamp() LIMIT 1"
)
LOCK_LOGIN = text("SELECT user_key FROM fleet.logins WHERE id = :id FOR NO KEY UPDATE")
END_LOGIN = text("UPDATE fleet.logins SET ended = true, document = NULL WHERE id = :id RETURNING id")
END = text(
    "UPDATE fleet.sessions SET hard_end = least(hard_end, clock_timestamp()) WHERE id = :id AND NOT void AND NOT ghost"
    " RETURNING id"
)
CHANGED = "This account was changed by the administrator."


class UserPart:
    """Applies changed users to their sessions here."""

    def __init__(self, store: Store, sessions: LiveSessions, engine: Engine, clock: Clock) -> None:
        self._store, self._sessions, self._engine, self._clock = store, sessions, engine, clock

    async def apply(self, changes: Sequence[Change]) -> None:
        self._store.forget_users()
        for change in changes:
            if not change.own:
                await self._apply(change.body)

    async def compare(self, *, restored: bool) -> None:  # noqa: ARG002 - a restored database is the one that counts
        self._store.forget_users()
        for name in {view.user for view in self._sessions.list()}:
            record = await self._store.find(name)
            if record is not None:  # without a row it is a user of an outside server
                await self._apply({"name": name, "groups_before": record.groups, "ends": False})

    async def _apply(self, body: dict[str, Any]) -> None:
        name = str(body["name"])
        record = await self._store.find(name)
        if record is None:
            self._engine.detectors.forget_user(name)
        if record is None or body["ends"] or not record.enabled or self._has_expired(record):
            self._sessions.kill_user(name, CHANGED)
        else:
            self._sessions.change_user(replace(record, groups=tuple(body["groups_before"])), record)

    def _has_expired(self, record: UserRecord) -> bool:
        return record.expires_at is not None and record.expires_at <= self._clock.wall()


class GroupPart:
    """Puts the groups made over the API in force as they are now."""

    def __init__(self, store: Store, sessions: LiveSessions, settings: SettingsResolver) -> None:
        self._store, self._sessions, self._settings = store, sessions, settings

    async def apply(self, changes: Sequence[Change]) -> None:
        if not all(change.own for change in changes):
            await self.compare(restored=False)

    async def compare(self, *, restored: bool) -> None:  # noqa: ARG002
        groups = await self._store.group_overrides()
        self._sessions.change_groups(groups)
        self._settings.set_groups(groups)


class KillPart:
    """Ends the sessions of a user, or one session."""

    def __init__(self, sessions: LiveSessions) -> None:
        self._sessions = sessions

    async def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if not change.own and change.kind == KILL_SESSION:
                self._sessions.kill(change.key, str(change.body["text"]))
            elif not change.own:
                self._sessions.kill_user(change.key, str(change.body["text"]))

    async def compare(self, *, restored: bool) -> None:
        """Sessions that were ended elsewhere meanwhile come to light when this node asserts its own."""


async def end_elsewhere(unit: UnitOfWork, session_id: str, words: str | None) -> str | None:
    """End the session of another node: that node is told, and no node lets its cookie in again.

    ``words``: for the client; ``None``: change nothing. Returns the user; ``None``: no node has the session.
    """
    try:
        values = {"id": pack_id(session_id)}
    except ValueError:
        return None
    if words is not None:  # the login first, as an admission does: one that has begun comes before this
        await unit.scalar(LOCK_LOGIN, values)
    user = await unit.scalar(FIND, values)
    if user is not None and words is not None:
        await unit.scalar(END_LOGIN, values)
        await unit.scalar(END, values)
        unit.changes.note(KILL_SESSION, session_id, text=words)
    return None if user is None else str(user)


class ReadAgain:
    """A part whose whole state is read again after any change of another node."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read

    async def apply(self, changes: Sequence[Change]) -> None:
        if not all(change.own for change in changes):
            await self._read()

    async def compare(self, *, restored: bool) -> None:  # noqa: ARG002
        await self._read()
