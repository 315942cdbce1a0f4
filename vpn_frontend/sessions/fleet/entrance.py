# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of a node of a fleet: admitted by all nodes together, taken over from others, let go to others.

A server that is alone has no entrance. On a node each new tunnel passes here before it opens: an address is borrowed
if the node has none left, then the fleet is asked. The reconnect of a client to the node that has its session asks
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.rules.user_rules import limit_of
from vpn_frontend.ports import CloseReason
from vpn_frontend.protocol.connect_response import carries_ipv6, negotiate_mtu
from vpn_frontend.sessions.addresses.pool import InnerAddresses, NoAddressError
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.cookies import digest_of
from vpn_frontend.sessions.fleet.lent_pool import LentPool
from vpn_frontend.sessions.fleet.port import (
    AdmitStatus,
    ClaimStatus,
    Entry,
    FleetSilentError,
    Standing,
    pack_id,
    unpack_id,
)
from vpn_frontend.sessions.liveness_probe import PROBE_TIMEOUT, LivenessProbe
from vpn_frontend.sessions.persistence.resumption import ResumptionError, parse_resumption
from vpn_frontend.sessions.sealed_cookies import SealedLogin
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.ports import UserRecord
    from vpn_frontend.sessions.addresses.pools import AddressPools
    from vpn_frontend.sessions.admission import Admission
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.fleet.logins import FleetLogins
    from vpn_frontend.sessions.fleet.port import Claim, Fleet
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.persistence.restorer import SessionRestorer
    from vpn_frontend.sessions.persistence.resumption import Resumption
    from vpn_frontend.sessions.session import Peer, Session
    from vpn_frontend.settings import Address, Network

BUSY = "The servers cannot agree on this session now. Please try again."
DRAINING = "This server is about to stop. Please connect again."
MOVED = f"session_{AdmitStatus.MOVED}"  # of a ``CookieError``: another node has opened the session of this login
KEEPS_LOGIN = (CloseReason.CONNECTION_LOST, CloseReason.SHUTDOWN)  # without a tunnel: its time is over, or a node's
ADMITTED_AT_ONCE = 200  # sessions in one call: 20 to 90 ms of the database
FULL = "Too many sessions of this user are open. Close one and try again."


class FleetEntrance:
    """Works on the same parts as the session table.

    ``find_user`` is set before the first client comes: the present record of a session's user, or why it ends.
    ``wait_until`` too: it waits for a condition on sessions, for some seconds. ``logins`` are those without a tunnel.
    """

    logins: FleetLogins
    find_user: Callable[[Resumption], Awaitable[UserRecord | CloseReason]]
    wait_until: Callable[[Callable[[], bool], float], Awaitable[None]]

    def __init__(
        self,
        fleet: Fleet,
        index: SessionIndex,
        closer: SessionCloser,
        pools: AddressPools,
        engine: Engine,
        gateway: Gateway,
    ) -> None:
        self._gateway = gateway
        self._fleet = fleet
        self._index = index
        self._closer = closer
        self._pools = pools
        self._engine = engine
        closer.give_back = self.finish
        index.seal_cookies(self.seal)

    def seal(self, session: Session) -> str:
        """The cookie of a login."""
        at = int(session.logged_in_at.timestamp())
        limit = session.settings.session.session_timeout
        group = session.groups[0] if session.groups else ""
        return self._fleet.keys.seal(
            SealedLogin(pack_id(session.id), at, at + limit if limit else 0, session.user.name, group, session.host)
        )

    async def admit(self, admission: Admission, now: float) -> None:
        """Have the fleet admit a session that has no tunnel yet; it has its addresses then.

        Raises ``CookieError`` or ``RefusedError``; then it has none, and its client may ask again.
        """
        session = admission.session
        session.opening = True  # also while this node drains: a client knows no other address before its first tunnel
        try:
            addresses = await self._take_addresses(admission)
            try:
                await self._ask(session, admission, addresses, now)
            except BaseException:
                self._free(session, addresses)
                raise
            if session.phase is Phase.WAITING:
                session.addresses = addresses
                return
            self._free(session, addresses)  # it was ended meanwhile
            raise CookieError
        finally:
            session.opening = False

    def withdraw(self, session: Session) -> None:
        """The tunnel of an admitted session could not be opened."""
        if session.phase is Phase.WAITING and session.addresses is None:
            self._release(session)

    async def claim(self, cookie: str, peer: Peer, host: str, now: float) -> tuple[Claim, Resumption] | Session:
        """Take over the session of a cookie that this node does not know.

        Raises ``CookieError`` or ``RefusedError``. The caller passes a pair to ``restore``. A session is that of a
        login that no node has opened, and waits for its admission.
        """
        login, digest = self._fleet.keys.open(cookie), digest_of(cookie)
        if login is None or digest is None:
            raise CookieError
        if login.host != host:
            raise CookieError("another_host")
        if self._fleet.draining:
            raise RefusedError(DRAINING, "draining")
        session_id = unpack_id(login.session)
        try:
            claim = await self._fleet.claim(session_id, digest, peer.address)
        except FleetSilentError as error:
            # Not a refusal of the cookie: its client would give up for good.
            raise RefusedError(BUSY, "fleet_silent") from error
        if claim.status is ClaimStatus.LOGIN:
            return self.logins.adopt(login, digest, claim, now)
        if claim.status is not ClaimStatus.OK:
            raise CookieError(f"session_{claim.status.value}")
        try:
            return claim, _parse(session_id, claim)
        except ResumptionError as error:
            self._fleet.release(session_id, claim.generation, login.user)
            raise CookieError("session_unknown") from error

    async def find_claimed(self, claim: Claim, saved: Resumption) -> UserRecord | CloseReason:
        """As ``find_user``, of what ``claim`` took over. If its client leaves meanwhile, any node may have it."""
        try:
            return await self.find_user(saved)
        except BaseException:
            self._fleet.lose(saved.id, claim.generation)
            raise

    def restore(
        self, claim: Claim, saved: Resumption, user: UserRecord | CloseReason, restorer: SessionRestorer, now: float
    ) -> Session:
        """Open what ``claim`` took over. Its counters go on. Raises ``CookieError``."""
        former = self._index.find_by_id(saved.id)
        if former is not None:  # it was here before it went elsewhere and came back
            self.let_go(former)
            self._closer.finish_now(former)
        saved.login_at = now - claim.age  # of this machine's clock
        for address in (saved.addresses.ipv4, saved.addresses.ipv6):
            pool = None if address is None else self._pools.holder_of(address)
            if isinstance(pool, LentPool):
                pool.add([address])
        accounted = 0 if claim.record is None else claim.record.accounted
        restorer.restore(saved, user, claim.counters, lost_at=now, now=now, accounted=accounted)
        session = self._index.find_by_id(saved.id)
        if session is None:
            self._fleet.end(saved.id, claim.generation, saved.user.name)
            self._hand_back_surplus()
            raise CookieError
        session.generation = session.attempts = claim.generation
        return session

    def reads(self, cookie: str) -> bool:
        """True if some node has sealed the cookie: its session may be on any of them."""
        return self._fleet.keys.open(cookie) is not None

    def log_out(self, cookie: str, host: str) -> None:
        """The client of a cookie has logged out here: end its session or its login, whichever node has it."""
        login, digest = self._fleet.keys.open(cookie), digest_of(cookie)
        if login is not None and digest is not None and login.host == host:
            self._fleet.log_out(unpack_id(login.session), digest)

    def let_go(self, session: Session) -> None:
        """Another node has it: close it here without a word to its client, and without an end in the journal."""
        if session.phase < Phase.CLOSING:
            session.moved = True
            self._closer.close_session(session, CloseReason.REPLACED, None)

    def drain(self, count: int) -> int:
        """Leave up to ``count`` sessions to the other nodes, those with a channel first. Returns how many are left."""
        held = [session for session in self._index if session.has_tunnel]
        held.sort(key=lambda session: session.connection_id is None)
        for session in held[:count]:
            if session.generation:
                self._fleet.lose(session.id, session.generation)
            self.let_go(session)
        return max(0, len(held) - count)

    def set_accepting(self, wanted: bool) -> None:
        """Listen, or refuse connections, so that clients try the next server. Raises ``OSError``."""
        if wanted:
            self._gateway.resume_accepting()
        else:
            self._gateway.pause_accepting()

    def end_unheard(self, seconds: float) -> None:
        """This node has been cut off for so long: the places of these sessions are given to others from now on."""
        for session in self._index:
            if session.has_tunnel and seconds >= session.settings.session.cookie_timeout:
                self._closer.close_session(session, CloseReason.CONNECTION_LOST, None)

    def carry_out(self, kind: str, session_id: str, generation: int) -> Session | None:
        """An order of the fleet. Returns the session that it ends here; ``None``: it is not here, or is another's."""
        session = self._index.find_by_id(session_id)
        if session is None or session.generation != generation:
            return None
        if kind == "let_go":
            self.let_go(session)
        elif kind == "evict":
            self._closer.close_session(session, CloseReason.REPLACED, None)
        return session

    async def contest(self, session_id: str, generation: int, now: float) -> None:
        """Another login of its user finds no place: end the session unless its client is heard within two seconds."""
        session = self._index.find_by_id(session_id)
        if session is None or session.generation != generation or session.phase is not Phase.OPEN:
            return
        if not session.is_evictable(now):
            if session.gateway_id is not None:
                self._gateway.ask(session.gateway_id)
            probe = LivenessProbe(((session, session.heard_count),), now + PROBE_TIMEOUT)
            await self.wait_until(lambda: probe.is_decided(now), PROBE_TIMEOUT)
            if not probe.unanswered():
                return
        self._closer.close_session(session, CloseReason.REPLACED, None)
        await self.until_closed([session], PROBE_TIMEOUT)

    async def until_closed(self, sessions: Sequence[Session], seconds: float) -> None:
        """Wait until the gateway has closed these sessions, ``seconds`` at most."""
        await self.wait_until(lambda: all(session.phase is Phase.CLOSED for session in sessions), seconds)

    def hand_back_reserve(self, networks: Collection[str]) -> None:
        """Other nodes have run out of addresses of these pools."""
        for pool in self._lent_pools():
            if str(pool.network) in networks:
                self._fleet.give_back(pool.network, pool.take_surplus(everything=True))

    def finish(self, session: Session) -> None:
        """It has closed: tell the fleet, and give back what it held."""
        if not session.moved:
            self._end(session)
        addresses = session.addresses
        if addresses is not None:
            if session.moved:
                self._forget(addresses)
            else:
                self._give_back(addresses)

    def carried(self, after: str = "", upto: str | None = None) -> Mapping[str, int]:
        """The sessions that the fleet has admitted here, with their generations.

        Those with ids behind ``after``, up to ``upto``: ids are in the order of the bytes that the fleet knows them by.
        """
        return {
            one.id: one.generation
            for one in self._index
            if one.generation and not one.moved and one.id > after and (upto is None or one.id <= upto)
        }

    def has(self, session_id: str) -> bool:
        """True if the session is here, admitted or not."""
        return self._index.find_by_id(session_id) is not None

    async def load_pools(self) -> None:
        """Learn which addresses are this node's. Raises ``FleetSilentError``."""
        for pool in self._lent_pools():
            pool.own_only(await self._fleet.lent(pool.network))
        self._hand_back_surplus()

    async def reassert(self) -> None:
        """Tell the fleet what this node carries, after it was not heard. Raises ``FleetSilentError``."""
        held = [session for session in self._index if session.phase is Phase.OPEN and session.has_tunnel]
        if any(session.generation == 0 for session in held):
            known = await self._fleet.own_sessions()
            for session in held:
                session.generation = session.generation or known.get(session.id, 0)
                session.attempts = max(session.attempts, session.generation)
        told = await self._fleet.reassert({session.id: session.generation for session in held})
        for session in held:
            standing = told.get(session.id, Standing.UNKNOWN)
            if standing is Standing.MOVED:
                self.let_go(session)
            elif standing is Standing.REPLACED:
                session.generation = 0
                self._closer.close_session(session, CloseReason.REPLACED, None)
        unknown = [session for session in held if told.get(session.id, Standing.UNKNOWN) is Standing.UNKNOWN]
        for start in range(0, len(unknown), ADMITTED_AT_ONCE):
            await self._admit_again(unknown[start : start + ADMITTED_AT_ONCE])
        await self.load_pools()

    async def _admit_again(self, sessions: Sequence[Session]) -> None:
        """Some that the fleet does not know: opened while this node was cut off, or the database was restored."""
        asked: list[Session] = []
        entries: list[Entry] = []
        for session in sessions:
            if session.phase is Phase.OPEN and session.peer is not None and session.addresses is not None:
                session.attempts += 1
                asked.append(session)
                entries.append(self._entry(session, session.peer.address, session.addresses, age=0.0))
        if not asked:
            return
        try:
            answers = await self._fleet.admit_several(entries)
        except FleetSilentError:
            for session in asked:
                session.generation = 0
            raise
        for session, entry, answer in zip(asked, entries, answers, strict=True):
            self._judge(session, entry.generation, answer.status)

    def _judge(self, session: Session, generation: int, status: AdmitStatus) -> None:
        """A session was admitted again, or not. It may have ended meanwhile."""
        if status is AdmitStatus.OK:
            session.generation = generation
            if session.moved:
                self._fleet.lose(session.id, generation)
            elif session.phase is Phase.CLOSED:
                self._end(session)
            return
        session.generation = 0
        if status is AdmitStatus.MOVED:
            self.let_go(session)
        else:
            self._closer.close_session(session, CloseReason.REPLACED, None)

    async def _ask(self, session: Session, admission: Admission, addresses: InnerAddresses, now: float) -> None:
        source = admission.peer.address
        session.attempts += 1
        entry = self._entry(session, source, addresses, age=max(0.0, now - session.login_at), now=now)
        try:
            answer = await self._fleet.admit(entry)
            if answer.status is AdmitStatus.FULL:  # some of the places may be of clients that are gone
                await self._fleet.contest(answer.holders)
                answer = await self._fleet.admit(entry)
        except FleetSilentError as error:
            if self._fleet.cut_off and self._fleet.alone_is_allowed:
                return  # it is asserted on the return
            raise RefusedError(BUSY, "fleet_silent") from error
        if answer.status is AdmitStatus.OK:
            session.generation = session.attempts
        elif answer.status is AdmitStatus.FULL:
            raise RefusedError(FULL, "max_same_clients")
        elif answer.status is AdmitStatus.ADDRESS:
            raise RefusedError("No tunnel: the address is in use.", "no_address")
        else:
            raise CookieError(f"session_{answer.status.value}")

    def _entry(
        self, session: Session, source: Address, addresses: InnerAddresses, *, age: float, now: float | None = None
    ) -> Entry:
        settings, user = session.settings, session.user.name
        limit = settings.own_client_limit
        if limit is None:
            limit = limit_of(self._engine.policy.user_rules, user, session.groups)
        return Entry(
            session.id,
            session.attempts,
            user,
            session.device.unique_id,
            settings.limits.max_same_clients if limit is None else limit,
            settings.limits.on_excess,
            session.digest,
            addresses.ipv4,
            addresses.ipv6,
            source,
            age,
            None if now is None else session.remaining(now),
            settings.session.cookie_timeout,
        )

    async def _take_addresses(self, admission: Admission) -> InnerAddresses:
        """Raises ``RefusedError``."""
        session, request = admission.session, admission.request
        settings, user = session.settings, session.user.name
        mtu = negotiate_mtu(settings.network.mtu, request, outer_ipv6=admission.peer.address.version == 6)
        wants6 = request.wants_ipv6 and carries_ipv6(mtu)
        try:
            if request.wants_ipv4:
                await self._borrow(settings.network.ipv4_pool, settings.static_ipv4)
            if wants6:
                await self._borrow(settings.network.ipv6_pool, settings.static_ipv6)
            return self._pools.take(
                user,
                want_ipv4=request.wants_ipv4,
                want_ipv6=wants6,
                static_ipv4=settings.static_ipv4,
                static_ipv6=settings.static_ipv6,
                network=settings.network,
            )
        except NoAddressError as error:
            self._hand_back_surplus()
            raise RefusedError(f"No tunnel: {error}.", "no_address") from error
        except FleetSilentError as error:
            raise RefusedError(BUSY, "fleet_silent") from error

    async def _borrow(self, network: Network | None, static: Address | None) -> None:
        """Have an address of the pool, or the fixed one, at hand. Raises ``FleetSilentError`` or ``NoAddressError``."""
        pool = self._pools.find_pool(network) if static is None else self._pools.holder_of(static)
        if not isinstance(pool, LentPool) or (pool.free if static is None else pool.has_free(static)):
            return
        if self._fleet.cut_off and self._fleet.alone_is_allowed:
            return  # what is at hand has to do
        pool.add(await self._fleet.lend(pool.network, pool.batch, static))

    def _free(self, session: Session, addresses: InnerAddresses) -> None:
        self._release(session)
        self._give_back(addresses)

    def _release(self, session: Session) -> None:
        if session.generation:
            self._fleet.release(session.id, session.generation, session.user.name)
            session.generation = 0

    def _end(self, session: Session) -> None:
        if session.peer is None and session.close_reason in KEEPS_LOGIN:
            self._release(session)
        else:
            self._fleet.end(session.id, session.generation, session.user.name)
            session.generation = 0

    def _give_back(self, addresses: InnerAddresses) -> None:
        if self._fleet.cut_off:
            # Another node may be about to take the session over, with its address.
            self._forget(addresses)
            return
        self._pools.give_back(addresses)
        self._hand_back_surplus()

    def _forget(self, addresses: InnerAddresses) -> None:
        for address in (addresses.ipv4, addresses.ipv6):
            pool = None if address is None else self._pools.holder_of(address)
            if isinstance(pool, LentPool):
                pool.forget(address)

    def _hand_back_surplus(self) -> None:
        for pool in self._lent_pools():
            surplus = pool.take_surplus()
            if surplus:
                self._fleet.give_back(pool.network, surplus)

    def _lent_pools(self) -> Iterator[LentPool]:  # type: ignore[type-arg]  # of either family
        return (pool for pool in self._pools if isinstance(pool, LentPool))


def _parse(session_id: str, claim: Claim) -> Resumption:
    """Raises ``ResumptionError``."""
    if claim.record is None:
        raise ResumptionError("the journal does not have it")
    return parse_resumption(session_id, claim.record.resumption, claim.record.row)
