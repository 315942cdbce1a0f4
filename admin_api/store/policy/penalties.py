# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of penalties, for the next start. Each node of a fleet has its own rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from admin_api.store.tables import StoredPenalty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession


class PenaltyRepository:
    """Replaces and reads all penalties of one node."""

    def __init__(self, session: AsyncSession, node: str) -> None:
        self._session = session
        self._node = node

    async def replace_all(self, penalties: Sequence[StoredPenalty]) -> None:
        await self._session.execute(delete(StoredPenalty).where(StoredPenalty.node == self._node))
        for penalty in penalties:
            penalty.node = self._node
        self._session.add_all(penalties)
        await self._session.flush()

    async def read_all(self) -> Sequence[StoredPenalty]:
        return (await self._session.scalars(select(StoredPenalty).where(StoredPenalty.node == self._node))).all()
