# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's rows of this node against the sessions that it carries, again and again.

A row that no node carries would keep a place of its user for ever, and a session without a row leaves its place to
another. Either is left behind by a database that was restored or has failed over without its newest commits, by a claim
whose answer was lost, and by one whose client did not wait for the end of it. What differs at two looks in a row is no
call that is still on its way: such a row is lost then, as if its client had left this node, and such a session is
asserted again. A database that may have lost its newest commits may also have lost ends of rows of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from admin_api.fleet.membership.lease import lease_clock
from admin_api.fleet.sessions.journal import end_records, records_without_sessions
from admin_api.log_events import ApiEvent
from vpn_frontend.sessions.fleet.port import pack_id, unpack_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from admin_api.fleet.calls import Calls
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store.database import Store
    from vpn_frontend.ports import EventSink

    Pair = tuple[str, int]  # id and generation of a session

OWN = " FROM fleet.sessions WHERE node = %s AND NOT void AND NOT ghost AND lost_at IS NULL"
DIGEST = (
    "SELECT count(*), coalesce(sum(generation), 0)::bigint,"
    f" coalesce(bit_xor(('x' || encode(substr(id, 1, 8), 'hex'))::bit(64)::bigint), 0){OWN}"
)
ROWS = f"SELECT id, generation{OWN}"
DIGEST_BYTES = 8  # of each id: ids are random
LOOKS = 3  # at the journal, after a doubt: what was on its way at the first has come by the last


class Carried(Protocol):
    """What the sessions of this node are asked."""

    def carried(self) -> Mapping[str, int]:
        """Those that the fleet has admitted here, with their generations."""

    def has(self, session_id: str) -> bool:
        """True if the session is here, admitted or not."""


class Comparison:
    """For one event loop."""

    def __init__(
        self,
        calls: Calls,
        membership: Membership,
        store: Store,
        events: EventSink,
        lose: Callable[[str, int], None],
    ) -> None:
        """``lose``: as ``Fleet.lose``."""
        self._calls = calls
        self._membership = membership
        self._store = store
        self._events = events
        self._lose = lose
        self._surplus: set[Pair] = set()  # rows without a session, at the last look
        self._missing: set[Pair] = set()  # sessions without a row
        self._unended: set[str] = set()  # rows of the journal without either
        self._doubts = self._looks_left = 0

    async def look(self, here: Carried) -> None:
        """Compare once. Raises as ``Calls.call``, and what the store raises."""
        me = self._membership.identity
        if me is None or not self._membership.lease.holds(lease_clock()):
            return  # it asserts all it carries on its return
        (row,) = await self._calls.call(DIGEST, (me.node,))
        if tuple(row) == _digest(here.carried()):
            self._surplus, self._missing = set(), set()
        else:
            rows = {(unpack_id(one[0]), one[1]) for one in await self._calls.call(ROWS, (me.node,))}
            self._judge(rows, set(here.carried().items()))
        if self._doubts != self._membership.doubts:
            self._doubts, self._looks_left = self._membership.doubts, LOOKS
        if self._looks_left:
            found = await records_without_sessions(self._calls, self._store.node)
            unended = {session for session in found if not here.has(session)}
            await end_records(self._store, [*(unended & self._unended)])
            self._unended = unended
            self._looks_left -= 1

    def _judge(self, rows: set[Pair], carried: set[Pair]) -> None:
        surplus, missing = rows - carried, carried - rows
        lost, unknown = surplus & self._surplus, missing & self._missing
        self._surplus, self._missing = surplus, missing
        if lost or unknown:
            told = {"node": self._membership.settings.name, "lost": len(lost), "asserted": len(unknown)}
            self._events.emit(ApiEvent.FLEET_SESSIONS_DIFFERED, **told)
        for session, generation in lost:
            self._lose(session, generation)
        if unknown:
            self._membership.assert_again()


def _digest(carried: Mapping[str, int]) -> tuple[int, int, int]:
    """Number, sum of the generations, and ids as the database adds them: a signed number of 64 bits."""
    ids = 0
    for session in carried:
        ids ^= int.from_bytes(pack_id(session)[:DIGEST_BYTES], "big", signed=True)
    return len(carried), sum(carried.values()), ids
