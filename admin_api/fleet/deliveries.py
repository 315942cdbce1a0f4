# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries of webhooks that a node has left behind: another node takes them over.

A delivery belongs to the node that has queued it, so that each is sent by one node. Of two nodes that want to take it
over the first one gets it. What a node has sent and not noted when it died is sent again, as after any crash.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store

INTERVAL = 5.0  # seconds between two looks
AT_ONCE = 1000  # deliveries
TAKE = text(
    "WITH RECURSIVE queued (node) AS ("  # each name once: live nodes may have many that wait
    " SELECT min(d.node) FROM webhook_deliveries d WHERE d.state = 'pending' UNION ALL"
    " SELECT (SELECT min(d.node) FROM webhook_deliveries d WHERE d.state = 'pending' AND d.node > q.node)"
    " FROM queued q WHERE q.node IS NOT NULL), lost (node) AS ("
    " SELECT q.node FROM queued q WHERE q.node <> :own AND NOT EXISTS ("
    " SELECT 1 FROM fleet.nodes n WHERE n.name = q.node"
    " AND NOT fleet.is_lost_v1(n.id, n.epoch, make_interval(secs => :dead_after))))"
    " UPDATE webhook_deliveries SET node = :own WHERE id = ANY (ARRAY("
    " SELECT d.id FROM webhook_deliveries d WHERE d.state = 'pending' AND d.node = ANY (ARRAY(SELECT node FROM lost))"
    " ORDER BY d.id LIMIT :most FOR UPDATE SKIP LOCKED))"
)


class DeliveryTakeover:
    """``start`` looks from then on, ``stop`` ends that."""

    def __init__(
        self, store: Store, membership: Membership, taken: Callable[[], Awaitable[None]], report: Callable[[str], None]
    ) -> None:
        """``taken`` is awaited when there is something to deliver; ``report`` is told why a look has failed."""
        self._store, self._membership, self._taken, self._report = store, membership, taken, report
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="deliveries of lost nodes")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> int:
        """Take over what lost nodes have left. Returns how many deliveries that is. Raises the database's error."""
        values = {"own": self._store.node, "dead_after": self._membership.settings.dead_after, "most": AT_ONCE}
        async with self._store.connected(writes=True) as connection:
            taken = (await connection.execute(TAKE, values)).rowcount
        if taken:
            await self._taken()
        return taken

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if not self._membership.is_member:
                continue
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - any failure of the database: the next look does it
                self._report(str(error))
