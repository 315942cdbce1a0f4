# SPDX-License-Identifier: GPL-3.0-or-later
"""All nodes as the database knows them, and what operators do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from admin_api.store import Store, UnitOfWork

NODES = text(
    "SELECT n.name, n.epoch, n.state, n.version, n.peer_url, n.joined_at,"
    " extract(epoch FROM clock_timestamp() - b.seen_at) AS silence, b.applied, b.sessions,"
    " (SELECT revision FROM fleet.head) - b.applied AS behind,"
    " fleet.is_lost_v1(n.id, n.epoch, make_interval(secs => :dead_after)) AS lost, p.revision, p.digest"
    " FROM fleet.nodes n JOIN fleet.beats b ON b.node = n.id"
    " LEFT JOIN fleet.node_policies p ON p.node = n.id ORDER BY n.name"
)
APPLIED = text(
    "SELECT count(*) FILTER (WHERE b.applied >= :revision) AS applied, count(*) AS of"
    " FROM fleet.nodes n JOIN fleet.beats b ON b.node = n.id"
    " WHERE NOT fleet.is_lost_v1(n.id, n.epoch, make_interval(secs => :dead_after))"
)
SET_STATE = text("UPDATE fleet.nodes SET state = :state WHERE name = :name AND state <> 'left' RETURNING id")
FORGET = text("SELECT fleet.forget_v1(:name, make_interval(secs => :dead_after))")


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node. ``state``: ``active``, ``draining``, ``left``, or ``dead``: not heard, without a goodbye.

    ``silence``: seconds since its last beat. ``behind``: changes that it has not applied yet. ``policy_version`` and
    ``rule_files`` (a digest): what is in force there; ``None`` until it has told.
    """

    name: str
    state: str
    epoch: int
    version: str
    peer_url: str
    joined_at: datetime
    silence: float
    applied: int
    behind: int
    sessions: int
    policy_version: int | None
    rule_files: str | None

    @property
    def is_live(self) -> bool:
        return self.state in {"active", "draining"}


async def read_nodes(store: Store, dead_after: float) -> Sequence[NodeRow]:
    """Returns all nodes by name."""
    async with store.connected() as connection:
        rows = (await connection.execute(NODES, {"dead_after": dead_after})).mappings().all()
    return [_node_of(row) for row in rows]


async def count_applied(store: Store, revision: int, dead_after: float) -> tuple[int, int]:
    """Returns on how many of the live nodes ``revision`` is in force, and how many live nodes there are."""
    async with store.connected() as connection:
        row = (await connection.execute(APPLIED, {"revision": revision, "dead_after": dead_after})).one()
    return row.applied, row.of


async def set_state(unit: UnitOfWork, name: str, state: str) -> bool:
    """Have a node drain (``draining``) or serve (``active``). Returns false if there is none that serves."""
    return await unit.scalar(SET_STATE, {"name": name, "state": state}) is not None


async def forget_rows(unit: UnitOfWork, name: str, dead_after: float) -> str:
    """Remove a node that is lost, with all that it owned. Returns ``forgotten``, ``unknown`` or ``live``."""
    return str(await unit.scalar(FORGET, {"name": name, "dead_after": dead_after}))


def _node_of(row: Any) -> NodeRow:  # noqa: ANN401 - a row by its columns
    state = "dead" if row["lost"] and row["state"] != "left" else row["state"]
    return NodeRow(
        name=row["name"],
        state=state,
        epoch=row["epoch"],
        version=row["version"],
        peer_url=row["peer_url"],
        joined_at=row["joined_at"],
        silence=round(max(0.0, float(row["silence"])), 3),
        applied=row["applied"],
        behind=max(0, row["behind"]),
        sessions=row["sessions"] if state not in {"left", "dead"} else 0,
        policy_version=row["revision"],
        rule_files=row["digest"],
    )
