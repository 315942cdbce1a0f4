# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission of sessions and addresses by the fleet: implements the VPN's port ``Fleet`` on the SQL functions.

An answer that does not come is unknown: the session is not opened, and its admission is taken back until the database
has confirmed that. So a place is never held by a session that does not exist, nor a session without a place.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from admin_api.fleet.calls import UnknownAnswerError
from admin_api.fleet.membership.lease import lease_clock
from admin_api.fleet.peers.caller import Told
from vpn_frontend.sessions.fleet.port import (
    AdmitStatus,
    Answer,
    Claim,
    ClaimStatus,
    FleetSilentError,
    Holder,
    Standing,
    pack_id,
    unpack_id,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence

    from admin_api.fleet.calls import Calls
    from admin_api.fleet.membership.lease import Identity, Lease
    from admin_api.fleet.peers.messages import Kind
    from admin_api.fleet.sessions.errands import Errands
    from vpn_frontend.auth.shared_failures import SharedFailures
    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.ports import OpenRecord
    from vpn_frontend.sessions.fleet.port import Entry, KeptLogin
    from vpn_frontend.sessions.sealed_cookies import KeyRing
    from vpn_frontend.settings import Address, Network

    Tell = Callable[[int, Kind, str, int, float], Coroutine[object, object, Told]]
    FindRecord = Callable[[str], Awaitable[tuple[OpenRecord | None, Counters]]]

ADMIT = (
    "SELECT * FROM fleet.admit_v2(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::inet, %s::inet, %s::inet, %s, %s, %s, "
    "make_interval(secs => %s), %s)"
)
ADMIT_SEVERAL = (
    "SELECT * FROM fleet.admit_several_v1(%s, %s, %s::bytea[], %s::int[], %s::text[], %s::text[], %s::int[], "
    "%s::text[], %s::bytea[], %s::inet[], %s::inet[], %s::inet[], %s::double precision[], %s::double precision[], "
    "%s::int[], make_interval(secs => %s), %s)"
)
CLAIM = "SELECT * FROM fleet.claim_v2(%s, %s, %s, %s, %s::inet, make_interval(secs => %s))"
RELEASE = "SELECT fleet.release_v1(%s, %s, %s)"
RELEASE_SEVERAL = (
    "SELECT count(fleet.release_v1(x.node, x.id, x.generation))"
    " FROM unnest(%s::int[], %s::bytea[], %s::int[]) AS x (node, id, generation)"
)
END = "SELECT fleet.end_v1(%s, %s, %s)"
END_SEVERAL = (
    "SELECT count(fleet.end_v1(x.node, x.id, x.generation))"
    " FROM unnest(%s::int[], %s::bytea[], %s::int[]) AS x (node, id, generation)"
)
KEEP_LOGIN = "SELECT fleet.keep_login_v1(%s, %s, %s, %s, %s, %s, %s)"
KEEP_SEVERAL = (
    "SELECT count(fleet.keep_login_v1(x.node, x.id, x.who, x.digest, x.document, x.seconds, x.age))"
    " FROM unnest(%s::int[], %s::bytea[], %s::text[], %s::bytea[], %s::text[], %s::int[], %s::double precision[])"
    " AS x (node, id, who, digest, document, seconds, age)"
)
LOG_OUT = "SELECT fleet.log_out_v1(%s, %s)"
LOG_OUT_SEVERAL = (
    "SELECT count(*) FROM unnest(%s::bytea[], %s::bytea[]) AS x (id, digest), fleet.log_out_v1(x.id, x.digest)"
)
LOSE = "SELECT fleet.lose_v1(%s, %s, %s)"
VOID = "SELECT fleet.void_v1(%s, %s, %s, %s, %s)"
VOID_SEVERAL = (
    "SELECT count(fleet.void_v1(x.node, x.epoch, x.id, x.generation, x.who))"
    " FROM unnest(%s::int[], %s::bigint[], %s::bytea[], %s::int[], %s::text[]) AS x (node, epoch, id, generation, who)"
)
LEND = "SELECT address FROM fleet.lend_v1(%s, %s, %s::cidr, %s, %s, %s)"
LEND_ONE = "SELECT fleet.lend_one_v1(%s, %s, %s::cidr, %s::inet)"
GIVE_BACK = "SELECT fleet.give_back_v1(%s, %s::cidr, %s::inet[])"
LENT = "SELECT address FROM fleet.lent_v1(%s, %s::cidr)"
OWN = "SELECT id, generation FROM fleet.sessions WHERE node = %s AND NOT void"
REASSERT = "SELECT * FROM fleet.reassert_v2(%s, %s, %s::bytea[], %s::int[])"
ASSERTED = "SELECT fleet.asserted_v1(%s, %s, %s)"
ASSERTED_AT_ONCE = 500  # sessions in one call: some 20 ms of the database
IS_LET_GO = "SELECT fleet.is_let_go_v1(%s, %s, %s)"
CONTEST = "SELECT fleet.contest_v1(%s, %s, %s::bytea[], %s::int[], %s::int[])"
IS_CONTESTED = "SELECT fleet.is_contested_v1(%s::bytea[])"
CONTEST_PATIENCE = 4.0  # seconds: a beat until the nodes know, two for their clients, and the way back
LET_GO_PATIENCE = 2.0  # seconds that a client waits for its former node
LET_GO_PAUSE = 0.05  # seconds between two looks, at first
MAX_PAUSE = 0.3
LOGIN_PAUSES = (0.05, 0.1, 0.2)  # seconds between looks for a login that its node may be about to write
# Errands that wait. With more of them a login opens its tunnel at its node alone, and a logout that is sent to another
# node than the session's is lost: the session ends with its cookie's time.
MOST_KEPT = 8192
MOST_TOLD = 256  # messages to other nodes on their way
FIRST_CLIENT = 2  # distance of a pool's first address for clients from its network's


class FleetAdmission:
    """For one event loop."""

    def __init__(
        self,
        calls: Calls,
        errands: Errands,
        lease: Lease,
        *,
        dead_after: float,
        keys: KeyRing,
        failures: SharedFailures,
        hold: bool,
        alone_is_allowed: bool,
        find_record: FindRecord,
        is_draining: Callable[[], bool],
        routed: bool = False,
        tell: Tell | None = None,
    ) -> None:
        """``hold``: sessions of nodes that are cut off keep their places. ``find_record`` asks the journal.

        ``tell`` hurries what the other nodes have orders for; ``None``: they read them with their beats.
        """
        self.routed = routed
        self._tell = tell
        self._telling: set[asyncio.Task[Told]] = set()
        self._is_draining = is_draining
        self.keys = keys
        self.failures = failures
        self.alone_is_allowed = alone_is_allowed
        self._calls = calls
        self._errands = errands
        self._lease = lease
        self._dead_after = dead_after
        self._hold = hold
        self._find_record = find_record
        self._returning = False
        self.unsettled = 0  # claims whose end this node does not know
        self._contests: dict[frozenset[Holder], asyncio.Task[None]] = {}

    @contextmanager
    def returning(self) -> Iterator[None]:
        """Within it sessions may be admitted again, before the node decides for the fleet."""
        self._returning = True
        try:
            yield
        finally:
            self._returning = False

    @property
    def cut_off(self) -> bool:
        """As ``Fleet.cut_off``."""
        return not self._lease.is_heard(lease_clock())

    @property
    def draining(self) -> bool:
        """As ``Fleet.draining``."""
        return self._is_draining()

    async def admit(self, entry: Entry) -> Answer:
        """As ``Fleet.admit``."""
        me = self._identity()
        # What ended here before holds no place any more, also if the database has not heard it yet.
        await self._errands.settle(entry.user)
        values = (me.node, me.epoch, *_columns(entry), self._dead_after, self._hold)
        try:
            (row,) = await self._calls.call(ADMIT, values)
        except (UnknownAnswerError, asyncio.CancelledError):
            self._take_back(me, [entry])
            raise
        except psycopg.errors.UniqueViolation:
            return Answer(AdmitStatus.ADDRESS)
        return self._read([entry], [row], me)[0]

    async def admit_several(self, entries: Sequence[Entry]) -> Sequence[Answer]:
        """As ``Fleet.admit_several``."""
        me = self._identity()
        await self._errands.settle(*{entry.user for entry in entries})
        columns = map(list, zip(*map(_columns, entries), strict=True))
        values = (me.node, me.epoch, *columns, self._dead_after, self._hold)
        try:
            rows = await self._calls.call(ADMIT_SEVERAL, values)
        except (UnknownAnswerError, asyncio.CancelledError):
            self._take_back(me, entries)
            raise
        except psycopg.errors.UniqueViolation:  # an address was taken meanwhile: of one of them, and all is undone
            return [await self.admit(entry) for entry in entries]
        answers = {unpack_id(row[0]): row[1:] for row in rows}
        return self._read(entries, [answers[entry.session] for entry in entries], me)

    def _read(self, entries: Sequence[Entry], rows: Sequence[tuple[Any, ...]], me: Identity) -> Sequence[Answer]:
        """What the database has answered to some admissions. Raises ``FleetSilentError``: none of them counts."""
        states = {row[0] for row in rows}
        if states & {"fenced", "void"}:
            self._take_back(me, [entry for entry, row in zip(entries, rows, strict=True) if row[0] == "ok"])
            raise FleetSilentError("this node has to join the fleet again" if "fenced" in states else "taken back")
        if self.cut_off:
            # The others may count this node as dead by now, and its new sessions with it.
            self._take_back(me, entries)
            raise FleetSilentError("the answer came after the lease had ended")
        answers: list[Answer] = []
        for status, ids, nodes, generations in rows:
            holders = tuple(map(Holder, (unpack_id(one) for one in ids), nodes, generations))
            if status == "ok":
                self._hurry("evict", holders)
            answers.append(Answer(AdmitStatus.OK if status == "same" else AdmitStatus(status), holders))
        return answers

    def _take_back(self, me: Identity, entries: Sequence[Entry]) -> None:
        for entry in entries:
            values = (me.node, me.epoch, pack_id(entry.session), entry.generation, entry.user)
            self._errands.add(VOID, values, user=entry.user, together=VOID_SEVERAL)

    async def contest(self, holders: Sequence[Holder]) -> None:
        """As ``Fleet.contest``.

        Logins that find the same places taken contest them together: many of one user hold up no call of another's.
        """
        places = frozenset(holders)
        task = self._contests.get(places)
        if task is None:
            task = self._contests[places] = asyncio.create_task(self._contest(holders))
            task.add_done_callback(partial(self._end_contest, places))
        await asyncio.shield(task)

    def _end_contest(self, places: frozenset[Holder], task: asyncio.Task[None]) -> None:
        del self._contests[places]
        if not task.cancelled():
            task.exception()  # its callers may be gone

    async def _contest(self, holders: Sequence[Holder]) -> None:
        me = self._identity()
        sessions = [pack_id(one.session) for one in holders]
        nodes, generations = [one.node for one in holders], [one.generation for one in holders]
        await self._ask(CONTEST, (me.node, me.epoch, sessions, nodes, generations))
        deadline = lease_clock() + CONTEST_PATIENCE
        told = await asyncio.gather(*self._hurry("contest", holders))
        if len(told) == len(holders) and all(one is Told.DONE for one in told):
            return
        while lease_clock() < deadline:
            (row,) = await self._ask(IS_CONTESTED, (sessions,))
            if not row[0]:
                return
            await asyncio.sleep(LET_GO_PAUSE)

    async def claim(self, session: str, digest: bytes, source: Address) -> Claim:
        """As ``Fleet.claim``."""
        me = self._identity()
        try:
            return await self._claim(me, session, digest, source)
        except BaseException:
            self.unsettled += 1  # the session may be this node's by now
            raise

    async def _claim(self, me: Identity, session: str, digest: bytes, source: Address) -> Claim:
        values = (me.node, me.epoch, pack_id(session), digest, str(source), self._dead_after)
        (row,) = await self._ask(CLAIM, values)
        for pause in LOGIN_PAUSES:
            if row[0] != "unknown":
                break
            await asyncio.sleep(pause)
            (row,) = await self._ask(CLAIM, values)
        if row[0] == "fenced":
            raise FleetSilentError("this node has to join the fleet again")
        if row[0] == "login":
            return Claim(ClaimStatus.LOGIN, row[1], row[5], login=row[9])
        if row[0] != "ok":
            return Claim(ClaimStatus(row[0]))
        if row[6] != me.node:  # also a node that drains, and has lost it: its counters may be on their way
            await self._await_let_go(row[6], pack_id(session), row[7])
        try:
            record, counters = await self._find_record(session)
        except Exception as error:  # of the store; its client comes again, and the session is this node's by then
            raise FleetSilentError(repr(error)) from error
        return Claim(ClaimStatus.OK, row[1], row[5], record, counters)

    async def _await_let_go(self, node: int, session: bytes, generation: int) -> None:
        """Wait until the session's node has written its last counters, as long as it can be expected to."""
        deadline = lease_clock() + LET_GO_PATIENCE
        if self._tell is not None:
            told = await self._tell(node, "let_go", unpack_id(session), generation, LET_GO_PATIENCE)
            if told is not Told.UNKNOWN:
                return
        pause = LET_GO_PAUSE
        while lease_clock() < deadline:
            (row,) = await self._ask(IS_LET_GO, (node, session, generation))
            if row[0]:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)  # all clients of a dead node wait here at once

    def _hurry(self, kind: Kind, holders: Sequence[Holder]) -> list[asyncio.Task[Told]]:
        """Tell the nodes of these sessions what the database has orders for. Empty: they read them with their beats."""
        me, tell = self._lease.identity, self._tell
        if tell is None or me is None or len(self._telling) + len(holders) > MOST_TOLD:
            return []
        told: list[asyncio.Task[Told]] = []
        for one in holders:
            if one.node != me.node:  # its own orders come from the database
                work = tell(one.node, kind, one.session, one.generation, CONTEST_PATIENCE)
                task = asyncio.create_task(work, name="message to another node")
                told.append(task)
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
        return told

    def release(self, session: str, generation: int, user: str = "") -> None:
        """As ``Fleet.release``."""
        if self._lease.identity is not None:
            values = (self._lease.identity.node, pack_id(session), generation)
            self._errands.add(RELEASE, values, user=user, together=RELEASE_SEVERAL)

    def keep_login(self, login: KeptLogin) -> None:
        """As ``Fleet.keep_login``."""
        if self._lease.identity is not None and len(self._errands) < MOST_KEPT:
            values = (
                self._lease.identity.node,
                pack_id(login.session),
                login.user,
                login.digest,
                login.document,
                login.cookie_timeout,
            )
            self._errands.add(KEEP_LOGIN, values, together=KEEP_SEVERAL, since=lease_clock())

    def end(self, session: str, generation: int, user: str = "") -> None:
        """As ``Fleet.end``."""
        if self._lease.identity is not None:
            values = (self._lease.identity.node, pack_id(session), generation)
            self._errands.add(END, values, user=user, together=END_SEVERAL)

    def log_out(self, session: str, digest: bytes) -> None:
        """As ``Fleet.log_out``. A client may repeat it as fast as it can: that holds up no end of another session."""
        if self._lease.identity is not None and len(self._errands) < MOST_KEPT:
            self._errands.add(LOG_OUT, (pack_id(session), digest), together=LOG_OUT_SEVERAL, once=True)

    def lose(self, session: str, generation: int) -> None:
        """As ``Fleet.lose``."""
        if self._lease.identity is not None:
            self._errands.add(LOSE, (self._lease.identity.node, pack_id(session), generation))

    async def lend(self, pool: Network, count: int, address: Address | None = None) -> Sequence[Address]:
        """As ``Fleet.lend``."""
        me = self._identity()
        if address is not None:
            (row,) = await self._ask(LEND_ONE, (me.node, me.epoch, str(pool), str(address)))
            return [address] if row[0] else []
        end = pool.num_addresses - 1  # the last address is never given out
        rows = await self._ask(LEND, (me.node, me.epoch, str(pool), FIRST_CLIENT, end, count))
        return [row[0] for row in rows]

    async def lent(self, pool: Network) -> Sequence[Address]:
        """As ``Fleet.lent``."""
        me = self._member()
        return [row[0] for row in await self._ask(LENT, (me.node, str(pool)))]

    async def own_sessions(self) -> Mapping[str, int]:
        """As ``Fleet.own_sessions``."""
        me = self._member()
        return {unpack_id(row[0]): row[1] for row in await self._ask(OWN, (me.node,))}

    async def reassert(self, held: Mapping[str, int]) -> Mapping[str, Standing]:
        """As ``Fleet.reassert``."""
        me, left, told = self._member(), [*held], dict[str, str]()
        while left:
            part, left = left[:ASSERTED_AT_ONCE], left[ASSERTED_AT_ONCE:]
            values = (me.node, me.epoch, [pack_id(session) for session in part], [held[session] for session in part])
            told |= {unpack_id(row[0]): row[1] for row in await self._ask(REASSERT, values)}
        while (await self._ask(ASSERTED, (me.node, me.epoch, ASSERTED_AT_ONCE)))[0][0] >= ASSERTED_AT_ONCE:
            pass
        if "fenced" in told.values() or self._lease.identity != me:
            raise FleetSilentError("this node has to join the fleet again")
        return {session: Standing(status) for session, status in told.items()}

    def give_back(self, pool: Network, addresses: Sequence[Address]) -> None:
        """As ``Fleet.give_back``."""
        if self._lease.identity is not None and addresses:
            values = (self._lease.identity.node, str(pool), [str(address) for address in addresses])
            self._errands.add(GIVE_BACK, values)

    async def _ask(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return await self._calls.call(statement, values)
        except psycopg.DatabaseError as error:
            raise FleetSilentError(" ".join(str(error).split())) from error

    def _identity(self) -> Identity:
        """Raises ``FleetSilentError`` unless this node may decide for the fleet now."""
        if not self._lease.holds(lease_clock()) and not self._returning:
            raise FleetSilentError("this node is cut off from the fleet's database")
        return self._member()

    def _member(self) -> Identity:
        """Raises ``FleetSilentError`` unless this node has joined and is heard."""
        me = self._lease.identity
        if me is None or self.cut_off:
            raise FleetSilentError("this node is cut off from the fleet's database")
        return me


def _columns(entry: Entry) -> tuple[object, ...]:
    """What ``ADMIT`` is told of a session."""
    return (
        pack_id(entry.session),
        entry.generation,
        entry.user,
        entry.device,
        entry.limit,
        entry.on_excess,
        entry.digest,
        _text(entry.ipv4),
        _text(entry.ipv6),
        str(entry.source),
        entry.age,
        entry.remaining,
        entry.cookie_timeout,
    )


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
