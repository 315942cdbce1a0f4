# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's rows of sessions that come from another node, or that no node has any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from admin_api.store.accounting.session_rows import COUNTED
from admin_api.store.tables import SessionRecord
from vpn_frontend.gateway.interface import NO_COUNTERS, Counters
from vpn_frontend.ports import SESSION_ROW, CloseReason, OpenRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.fleet.calls import Calls
    from admin_api.store.database import Store


# The rows of a silent node stay in fleet.sessions: it may be cut off and carry them.
END_UNHEARD = "SELECT fleet.end_unheard_v1(%s, make_interval(secs => %s), %s)"

# Ids of half the length have zeros behind them there.
WITHOUT_SESSION = """
SELECT r.id FROM sessions r WHERE r.ended_at IS NULL AND r.node = %s
  AND NOT EXISTS (SELECT 1 FROM fleet.sessions s WHERE s.id = decode(rpad(r.id, 32, '0'), 'hex'))"""


async def take_record(store: Store, session_id: str) -> tuple[OpenRecord | None, Counters]:
    """Make the row this node's. Returns it with its counters so far.

    ``None``: the journal has no such session that is open and can be given back.
    """
    columns = [getattr(SessionRecord, name) for name in (*SESSION_ROW, *COUNTED)]
    taking = (
        update(SessionRecord)
        .where(SessionRecord.id == session_id, SessionRecord.ended_at.is_(None), SessionRecord.resumption.is_not(None))
        .values(node=store.node)
        .returning(SessionRecord.resumption, *columns)
    )
    async with store.connected(writes=True) as connection:
        row = (await connection.execute(taking)).one_or_none()
    if row is None:
        return None, NO_COUNTERS
    end = 1 + len(SESSION_ROW)
    counters = Counters(**dict(zip(COUNTED, row[end:], strict=True)))
    named = dict(zip(SESSION_ROW, row[1:end], strict=True))
    return OpenRecord(session_id, row[0], counters.rx_bytes + counters.tx_bytes, named), counters


async def end_records(store: Store, session_ids: Sequence[str]) -> None:
    """End the rows of lost sessions whose clients did not come back, when their counters were last written."""
    if not session_ids:
        return
    ending = (
        update(SessionRecord)
        .where(SessionRecord.id.in_(session_ids), SessionRecord.ended_at.is_(None))
        .values(ended_at=SessionRecord.seen_at, end_reason=CloseReason.CONNECTION_LOST.value, resumption=None)
    )
    async with store.connected(writes=True) as connection:
        await connection.execute(ending)


async def end_unheard_records(calls: Calls, dead_after: float, most: int) -> int:
    """End up to ``most`` rows of sessions whose node is silent, once no cookie of theirs opens them elsewhere.

    The node may be cut off and carry them still: what it writes on its return opens them again. Returns how many have
    ended. Raises ``FleetSilentError`` or ``psycopg.DatabaseError``.
    """
    (row,) = await calls.call(END_UNHEARD, (CloseReason.NODE_LOST.value, dead_after, most))
    return int(row[0])


async def records_without_sessions(calls: Calls, node: str) -> set[str]:
    """Returns the open rows of a node that the fleet has no session of. Raises as ``Calls.call``."""
    return {row[0] for row in await calls.call(WITHOUT_SESSION, (node,))}
