# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts against sources that need not be in penalty, kept over a restart."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from admin_api.store.tables import StoredSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

ROWS_AT_A_TIME = 1_000  # prepared in one go on the event loop: some 10 ms
COLUMNS = (StoredSource.network, StoredSource.strikes, StoredSource.forgotten_at, StoredSource.events)


class SourceRepository:
    """Rows are the JSON of ``sentry_engine.state.KeptSource``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def replace_all(self, sources: Iterable[Mapping[str, Any]]) -> None:
        await self._session.execute(delete(StoredSource))
        rows = iter(sources)
        while some := [dict(row) for row in islice(rows, ROWS_AT_A_TIME)]:
            await self._session.execute(insert(StoredSource), some)

    async def everything(self) -> list[dict[str, Any]]:
        return [dict(row) for row in (await self._session.execute(select(*COLUMNS))).mappings()]
