# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries of webhooks that a node has left behind: another node takes them over.

A delivery belongs to the node that has queued it, so that each is sent by one node. Of two nodes that want to take it
over the first one gets it. What a node has sent and not noted when it died is sent again, as after any crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from admin_api.fleet.rounds import Rounds

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


class DeliveryTakeover(Rounds):
    """Looks for them from ``start`` on."""

    def __init__(
        self, store: Store, membership: Membership, taken: Callable[[], Awaitable[None]], report: Callable[[str], None]
    ) -> None:
        """``taken`` is awaited when there is something to deliver."""
        super().__init__("deliveries of lost nodes", report)
        self._store, self._membership, self._taken = store, membership, taken

    async def look(self) -> int:
        """Take over what lost nodes have left. Returns how many deliveries that is. Raises the database's error."""
        values = {"own": self._store.node, "dead_after": self._membership.settings.dead_after, "most": AT_ONCE}
        async with self._store.connected(writes=True) as connection:
            taken = (await connection.execute(TAKE, values)).rowcount
        if taken:
            await self._taken()
        return taken

    async def work(self) -> None:
        if self._membership.is_member:
            await self.look()

    def pause(self, took: float) -> float:  # noqa: ARG002 - it takes a moment
        return INTERVAL
