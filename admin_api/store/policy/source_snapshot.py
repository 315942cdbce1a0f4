# SPDX-License-Identifier: GPL-3.0-or-later
"""The saved sources of an engine, of which those with the most strikes and events are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Text, bindparam, text

from admin_api.store.policy.table_snapshot import NODE, TableSnapshot
from admin_api.store.tables import StoredSource

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

KEPT, MOST = "kept", "most"  # the parameters of a statement
LIGHTEST = """
    SELECT network FROM sources WHERE node = :node
    ORDER BY strikes DESC, ({events}) DESC, network LIMIT :most OFFSET :kept"""
EVENTS = {  # of the bursts of a row, [label, first, last, count], by dialect
    "sqlite": "SELECT total(json_extract(burst.value, '$[3]')) FROM json_each(sources.events) AS burst",
    "postgresql": "SELECT coalesce(sum((burst ->> 3)::bigint), 0) FROM json_array_elements(sources.events) AS burst",
}


class SourceSnapshot(TableSnapshot):
    """The rows of one node."""

    def __init__(self, session: AsyncSession, node: str) -> None:
        super().__init__(session, StoredSource, node)

    async def list_beyond(self, kept: int, most: int) -> list[str]:
        """The networks of up to ``most`` rows after the ``kept`` ones with the most strikes, then events."""
        dialect = (await self._session.connection()).dialect.name
        query = text(LIGHTEST.format(events=EVENTS[dialect]))
        query = query.bindparams(bindparam(NODE, type_=Text), bindparam(KEPT), bindparam(MOST))
        return list(await self._session.scalars(query, {NODE: self._node, KEPT: kept, MOST: most}))
