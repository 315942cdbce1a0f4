# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's rows of this node against the sessions that it carries, again and again.

A row that no node carries would keep a place of its user for ever, and a session without a row leaves its place to
another. Either is left behind by a database that was restored or has failed over without its newest commits, by a claim
whose answer was lost, and by one whose client did not wait for the end of it. What differs at two looks in a row is no
call that is still on its way: such a row is lost then, as if its client had left this node, and such a session is
asserted again. A database that may have lost its newest commits may also have lost ends of rows of the journal.

A look reads ``PART_SIZE`` sessions at most, in the order of their ids, and the next one goes on behind them: what it
costs does not grow with the sessions of the node. It reads all of them where something may have been left behind: after
another start of the database, a restore, and a claim of whose end this node has not heard. Of what differs only the
parts are read again: on a node whose clients come and go something differs at each look.
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
Span = tuple[str, str | None]  # ids behind the first, up to the second; None: to the end. The same twice: one part
EVERYTHING: Span = ("", None)
OWN = " FROM fleet.own_part_v1(%s, %s, %s)"
PART = (
    "SELECT count(*), coalesce(sum(generation), 0)::bigint,"
    " coalesce(bit_xor(('x' || encode(substr(id, 1, 8), 'hex'))::bit(64)::bigint), 0),"
    f" decode(max(encode(id, 'hex') COLLATE \"C\"), 'hex'){OWN}"
)
ROWS = f"SELECT id, generation{OWN}"
PART_SIZE = 2000  # sessions: less than a millisecond of the database, and as much of the node
DIGEST_BYTES = 8  # of each id: ids are random
LOOKS = 3  # at all, and at the journal, after a doubt: what was on its way at the first has come by the last


class Carried(Protocol):
    """What the sessions of this node are asked."""

    def carried(self, after: str = "", upto: str | None = None) -> Mapping[str, int]:
        """Those that the fleet has admitted here, with their generations: with ids behind ``after``, up to ``upto``."""

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
        unsettled: Callable[[], int],
    ) -> None:
        """``lose``: as ``Fleet.lose``. ``unsettled`` counts the claims whose end this node does not know."""
        self._calls = calls
        self._membership = membership
        self._store = store
        self._events = events
        self._lose = lose
        self._surplus: set[Pair] = set()  # rows without a session, at the last look
        self._missing: set[Pair] = set()  # sessions without a row
        self._unended: set[str] = set()  # rows of the journal without either
        self._count_unsettled = unsettled
        self._after = ""  # the next look is at sessions behind this id
        self._again: list[Span] = []  # what differed at the last look, for the next one
        self._doubts = self._unsettled = self._looks_left = self._whole_left = 0

    async def look(self, here: Carried) -> None:
        """Compare once. Raises as ``Calls.call``, and what the store raises."""
        me = self._membership.identity
        if me is None or not self._membership.lease.holds(lease_clock()):
            return  # it asserts all it carries on its return
        if self._doubts != self._membership.doubts:
            self._doubts, self._looks_left = self._membership.doubts, LOOKS
            self._whole_left = LOOKS
        if self._unsettled != self._count_unsettled():
            self._unsettled, self._whole_left = self._count_unsettled(), LOOKS
        await self._compare(me.node, here)
        if self._looks_left:
            found = await records_without_sessions(self._calls, self._store.node)
            unended = {session for session in found if not here.has(session)}
            await end_records(self._store, [*(unended & self._unended)])
            self._unended = unended
            self._looks_left -= 1

    async def _compare(self, node: int, here: Carried) -> None:
        """All sessions, what differed at the last look, or the next part of them."""
        whole, again = self._whole_left > 0, self._again
        spans = [EVERYTHING] if whole else again or [(self._after, self._after)]
        surplus, missing, differing = set[Pair](), set[Pair](), list[Span]()
        after: str | None = ""
        reached = ""
        for first, last in spans:
            after = max(first, reached)
            while after is not None and (last is None or after < last or after == first):
                found = len(surplus) + len(missing)
                end = await self._compare_part(node, here, after, surplus, missing)
                if len(surplus) + len(missing) > found:
                    differing.append((after, end))
                after = end
            if after is None:
                break
            reached = after
        if not whole and not again:
            self._after = after or ""
        self._again = differing if whole or not again else []  # only once: each look may differ
        self._whole_left = max(self._whole_left - 1, 0)
        self._judge(surplus, missing)

    async def _compare_part(
        self, node: int, here: Carried, after: str, surplus: set[Pair], missing: set[Pair]
    ) -> str | None:
        """Adds to ``surplus`` and ``missing``. Returns the last id of the part; ``None``: none are behind it."""
        start = bytes.fromhex(after)
        (row,) = await self._calls.call(PART, (node, start, PART_SIZE))
        upto = unpack_id(row[3]) if row[0] == PART_SIZE else None
        if tuple(row[:3]) != _digest(here.carried(after, upto)):
            found = await self._calls.call(ROWS, (node, start, PART_SIZE))
            rows = {(unpack_id(one[0]), one[1]) for one in found}
            upto = max(rows)[0] if len(rows) == PART_SIZE else None
            carried = set(here.carried(after, upto).items())
            surplus |= rows - carried
            missing |= carried - rows
        return upto

    def _judge(self, surplus: set[Pair], missing: set[Pair]) -> None:
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
