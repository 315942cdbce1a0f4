# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes for the other nodes of a fleet: published with the unit of work that makes them, or not at all.

They are gathered first and published last, because the row that orders all changes is locked until the commit. Units of
work that also write audit rows take the turn of the audit before, so that two of them never wait for each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

PUBLISH = text(
    "SELECT fleet.publish_v2((SELECT id FROM fleet.nodes WHERE name = :node), :origin,"
    " CAST(:kinds AS text[]), CAST(:keys AS text[]), CAST(:bodies AS jsonb[]))"
)
LOCK = text("SELECT extract(epoch FROM clock_timestamp()) FROM fleet.head FOR UPDATE")
NOW = text("SELECT extract(epoch FROM clock_timestamp())")
REVOKE = text(
    "INSERT INTO fleet.users AS u (key, not_before) VALUES (:user, clock_timestamp())"
    " ON CONFLICT (key) DO UPDATE SET not_before = clock_timestamp()"
)
MAX_AT_ONCE = 1000  # changes of one statement


@dataclass(frozen=True, slots=True)
class NotedChange:
    """``kind`` and ``key`` say what has changed; ``body`` is JSON and holds no secret."""

    kind: str
    key: str
    body: dict[str, Any]


class ChangeLog:
    """The changes of one unit of work. Without a fleet nothing is gathered, and nothing asked of the database."""

    def __init__(self, session: AsyncSession, node: str, origin: str) -> None:
        """``origin``: of this process, see ``Store``."""
        self._session = session
        self._node = node
        self._origin = origin
        self._noted: list[NotedChange] = []
        self.revision = 0  # of the last published change

    def note(self, kind: str, key: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        if self._node:
            self._noted.append(NotedChange(kind, key, body))

    async def revoke(self, user: str) -> None:
        """Logins of the user before now open no tunnel at any node, also those of nodes that cannot be told."""
        if self._node:
            await self._session.execute(REVOKE, {"user": user})

    def tells_of(self, kind: str) -> bool:
        """Whether a change of this kind was noted."""
        return any(change.kind == kind for change in self._noted)

    async def take_turn(self) -> float:
        """Wait until no other transaction publishes. Returns the database's time, in Unix seconds."""
        return float((await self._session.scalar(LOCK)) or 0)

    async def read_time(self) -> float:
        """The database's time, in Unix seconds."""
        return float((await self._session.scalar(NOW)) or 0)

    async def publish(self) -> None:
        """Publish what was noted. Called right before the commit."""
        noted, self._noted = self._noted, []
        for start in range(0, len(noted), MAX_AT_ONCE):
            some = noted[start : start + MAX_AT_ONCE]
            values = {
                "node": self._node,
                "origin": self._origin,
                "kinds": [change.kind for change in some],
                "keys": [change.key for change in some],
                "bodies": [json.dumps(change.body) for change in some],
            }
            self.revision = int((await self._session.scalar(PUBLISH, values)) or 0)
