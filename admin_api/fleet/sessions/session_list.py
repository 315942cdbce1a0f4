# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions of the other nodes, as the database knows them: in the order and from the place of a page.

Counters are those last written; what only the node itself knows (its tunnel's settings) is at its default.
"""

from __future__ import annotations

import json
from datetime import UTC
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text

from admin_api.store.accounting.session_rows import COUNTED
from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import SessionState, SessionView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from admin_api.store import Store

STARTED = "CAST(extract(epoch FROM r.started_at) AS double precision)"
ORDERS = {
    "id": 'r.id COLLATE "C"',
    "user": 'r."user" COLLATE "C"',
    "started_at": STARTED,
    "rx_bytes": "r.rx_bytes",
    "tx_bytes": "r.tx_bytes",
}
# A session gives its place away, and is no longer listed, once another one has it.
LIVE = (
    " FROM fleet.sessions s JOIN fleet.nodes n ON n.id = s.node JOIN sessions r ON r.id = encode(s.id, 'hex')"
    " WHERE NOT s.void AND NOT s.ghost AND n.name <> :own"
)
ROAMING = "(s.lost_at IS NOT NULL OR fleet.is_lost_v1(s.node, s.epoch, make_interval(secs => :dead_after)))"
FILTERS = {
    "id": "r.id = :id",
    "node": "n.name = :node",
    "user": 'r."user" = :user',
    "group": "jsonb_exists(CAST(r.groups AS jsonb), :group)",
    "network": "CAST(r.address AS inet) <<= CAST(:network AS inet)",
    "roaming": f"{ROAMING} = :roaming",
    "transport": "r.transport = :transport",
}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A session and the name of its node."""

    node: str
    view: SessionView


async def sessions_elsewhere(
    store: Store,
    dead_after: float,
    wanted: Mapping[str, object],
    *,
    order: str = "id",
    after: tuple[str | float, str] | None = None,
    limit: int = 1,
) -> Sequence[Elsewhere]:
    """Returns up to ``limit`` sessions. ``wanted``: values of ``FILTERS``, ``None`` for any.

    ``order``: a key of ``ORDERS``, falling with ``-`` before it. ``after``: value and id of the row before the first.
    """
    key, falling = ORDERS[order.removeprefix("-")], order.startswith("-")
    given = {name: value for name, value in wanted.items() if value is not None}
    values: dict[str, Any] = {"own": store.node, "dead_after": dead_after, "limit": limit, **given}
    conditions = [FILTERS[name] for name in given]
    if after is not None:
        values |= {"value": after[0], "last": after[1]}
        conditions.append(f'({key}, r.id COLLATE "C") {"<" if falling else ">"} (:value, :last)')
    where = "".join(f" AND {condition}" for condition in conditions)
    way = " DESC" if falling else ""
    query = f'SELECT r.*, n.name AS carried_by, s.logged_in_at, {ROAMING} AS roaming{LIVE}{where} ORDER BY {key}{way}, r.id COLLATE "C"{way} LIMIT :limit'  # noqa: E501 - constants
    async with store.connected() as connection:
        rows = (await connection.execute(text(query), values)).mappings().all()
    return [Elsewhere(row["carried_by"], _view_of(row)) for row in rows]


async def count_elsewhere(store: Store, user: str) -> int:
    """Returns how many sessions of a user the other nodes have."""
    query = text(f'SELECT count(*){LIVE} AND r."user" = :user').bindparams(bindparam("own", store.node))
    async with store.connected() as connection:
        return int((await connection.execute(query, {"user": user})).scalar_one())


def _view_of(row: Mapping[Any, Any]) -> SessionView:
    groups = row["groups"]
    return SessionView(
        id=row["id"],
        user=row["user"],
        groups=tuple(json.loads(groups) if isinstance(groups, str) else groups),
        address=ip_address(row["address"]),
        port=row["port"],
        ipv4=None if row["ipv4"] is None else IPv4Address(row["ipv4"]),
        ipv6=None if row["ipv6"] is None else IPv6Address(row["ipv6"]),
        logged_in_at=row["logged_in_at"],
        started_at=row["started_at"].replace(tzinfo=UTC),
        state=SessionState.ROAMING if row["roaming"] else SessionState.CONNECTED,
        transport="none" if row["roaming"] else row["transport"],
        tls_version=row["tls_version"],
        cipher=row["cipher"],
        user_agent=row["user_agent"],
        hostname=row["hostname"],
        counters=Counters(**{name: row[name] for name in COUNTED}),
    )
