# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that are no tunnel yet: each has a conversation, whose effects are carried out here.

A task exists only while a question of a conversation has to wait (for a directory, a password hash, a session that
makes room), one per link at most, and it dies with its link. The rest happens at once, on the gateway's events.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpn_frontend.auth.authenticator import Accepted, Authenticator, Refused, Unavailable
from vpn_frontend.connections.per_source import Lobby
from vpn_frontend.gateway.interface import Cause, GatewayError
from vpn_frontend.ports import EventSink, VpnEvent
from vpn_frontend.protocol.connect_response import render_connect_headers
from vpn_frontend.protocol.connection import (
    CheckLogin,
    Close,
    Connection,
    Effect,
    EndSession,
    OpenTunnel,
    PortalConfig,
    Send,
)
from vpn_frontend.protocol.dtls_negotiation import render_dtls_headers
from vpn_frontend.sessions.admission import Admission, CookieError, Login, RefusedError
from vpn_frontend.sessions.liveness_probe import CONTEST_PATIENCE, Contest, ContestedError
from vpn_frontend.sessions.session import Peer
from vpn_frontend.sessions.table import SessionTable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from vpn_frontend.gateway.interface import Gateway, LinkClosed, LinkData, LinkUp
    from vpn_frontend.ports import UserRecord
    from vpn_frontend.settings import VpnSettings

REQUEST_DEADLINE = 30.0  # seconds from the first byte of a request to its last
SPARE_LINKS = 64  # of one address, over one for each client that the server may have: all may sit behind one NAT
SETTLE_DEADLINE = 3.0  # seconds that sessions which make room have to end


@dataclass(slots=True)
class Link:
    """One TLS connection that talks to us. Times are monotonic seconds."""

    peer: Peer
    conversation: Connection
    since: float
    request_since: float | None = None  # a request has begun and is not whole
    task: asyncio.Task[None] | None = None


class Reception:
    """All links. ``clock`` is the monotonic time of everything done here."""

    def __init__(
        self,
        settings: VpnSettings,
        site: PortalConfig,
        *,
        gateway: Gateway,
        sessions: SessionTable,
        authenticator: Authenticator,
        events: EventSink,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self.site = site  # of conversations to come
        self._gateway = gateway
        self._sessions = sessions
        self._authenticator = authenticator
        self._events = events
        self._clock = clock
        self._awaited: dict[asyncio.Event, Callable[[], bool]] = {}  # what tasks wait for, each for seconds at most
        self._links: Lobby[Link] = Lobby(settings.limits.max_clients + SPARE_LINKS)

    def __len__(self) -> int:
        return len(self._links)

    def link_up(self, event: LinkUp) -> None:
        peer = Peer(
            event.link,
            event.peer,
            event.peer_port,
            event.tls_version,
            event.cipher,
            event.local_port,
            event.exporter_key,
            # Without an extension that clients may leave out (RFC 7627), TLS 1.2 exports the same to two peers.
            event.proof_key if event.tls_version == "TLSv1.3" else b"",
        )
        silent = (link for link in self._links.crowd(peer.address) if link.task is None)
        if (oldest := next(silent, None)) is not None:
            self._close(oldest, "too many connections of one address")
        self._links.enter(Link(peer, Connection(self.site), self._clock()))

    def link_data(self, event: LinkData) -> None:
        link = self._links.find(event.link)
        if link is None:
            return
        now = self._clock()
        if link.request_since is None:
            link.request_since = now
        effects = link.conversation.receive(event.data, now)
        if effects:
            link.request_since = None
        try:
            self._carry_out(link, effects)
        except Exception as error:  # noqa: BLE001 - of whatever answers the questions of a conversation
            self._fail(link, error)

    def link_closed(self, event: LinkClosed) -> None:
        link = self._links.leave(event.link)
        if link is not None and link.task is not None:
            link.task.cancel()

    def sessions_changed(self) -> None:
        """A session has ended, gone roaming, come back or answered: somebody may wait for that."""
        for happened, condition in self._awaited.items():
            if condition():
                happened.set()

    def expire(self, now: float) -> None:
        """Close links that send a request too slowly, or have talked for longer than any login takes."""
        for link in self._links:
            slow = link.request_since is not None and now - link.request_since >= REQUEST_DEADLINE
            old = now - link.since >= 2 * self._settings.auth.timeout and link.task is None
            if slow or old:
                self._close(link, "too slow" if slow else "too old")

    async def close(self) -> None:
        """End every conversation; the links themselves are the gateway's to close."""
        links = [*self._links]
        tasks = [link.task for link in links if link.task is not None]
        for link in links:
            self._links.leave(link.peer.link)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _carry_out(self, link: Link, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(data):
                    self._gateway.send(link.peer.link, data)
                case Close(reason):
                    self._close(link, reason)
                case CheckLogin():
                    self._check_login(link, effect)
                case OpenTunnel():
                    self._open_tunnel(link, effect)
                case EndSession(cookie):
                    self._sessions.log_out(cookie, self._clock())

    def _close(self, link: Link, reason: str) -> None:
        """Close once all is out; what the link still sends is not listened to any more."""
        if self._links.leave(link.peer.link) is None:
            return
        if link.task is not None and link.task is not asyncio.current_task():
            link.task.cancel()
        if reason:
            self._events.emit(VpnEvent.LINK_REFUSED, address=link.peer.address, reason=reason)
        self._gateway.close_link(link.peer.link)

    def _begin(self, link: Link, work: Coroutine[None, None, None]) -> None:
        link.task = asyncio.create_task(work)
        link.task.add_done_callback(lambda task: self._finish(link, task))

    def _finish(self, link: Link, task: asyncio.Task[None]) -> None:
        if link.task is task:
            link.task = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            self._fail(link, error)

    def _fail(self, link: Link, error: Exception) -> None:
        """A fault of ours: this link gets no answer that could be wrong, the others go on."""
        self._events.emit(VpnEvent.BACKEND_FAILED, what="conversation", error=repr(error))
        self._close(link, "internal error")

    def _check_login(self, link: Link, login: CheckLogin) -> None:
        answer = self._authenticator.check_known(login, link.peer.address)
        if answer is None:
            self._begin(link, self._wait_for_check(link, login))
        else:
            self._answer_login(link, login, answer)

    async def _wait_for_check(self, link: Link, login: CheckLogin) -> None:
        self._answer_login(link, login, await self._authenticator.check(login, link.peer.address))

    def _answer_login(self, link: Link, login: CheckLogin, answer: Accepted | Refused | Unavailable) -> None:
        now = self._clock()
        conversation = link.conversation
        if isinstance(answer, Accepted):
            try:
                cookie = self._sessions.log_in(Login(answer.user, answer.groups, login.device, login.user_agent), now)
            except RefusedError as refused:
                return self._carry_out(link, conversation.unavailable(refused.text, refused.retry_after))
            return self._carry_out(link, conversation.login_granted(cookie))
        if isinstance(answer, Refused):
            return self._carry_out(link, conversation.login_refused(answer.text, now, final=answer.final))
        return self._carry_out(link, conversation.unavailable(answer.text, answer.retry_after))

    def _open_tunnel(self, link: Link, wanted: OpenTunnel) -> None:
        """Without a pause where the user is known and nobody has to make room."""
        with self._refusals(link, ""):
            name = self._sessions.user_of(wanted.cookie)
            user = self._authenticator.recall(name)
            if user is None:
                self._begin(link, self._wait_for_user(link, wanted, name))
            else:
                self._admit(link, wanted, name, user)

    async def _wait_for_user(self, link: Link, wanted: OpenTunnel, name: str) -> None:
        self._admit(link, wanted, name, await self._authenticator.find(name))

    def _admit(self, link: Link, wanted: OpenTunnel, name: str, user: UserRecord | Refused | Unavailable) -> None:
        with self._refusals(link, name):
            if isinstance(user, Refused | Unavailable):
                raise RefusedError(user.text, user.reason if isinstance(user, Refused) else "unavailable")
            try:
                admission = self._sessions.admit(wanted.cookie, link.peer, user, wanted.request, self._clock())
            except ContestedError as contested:
                self._begin(link, self._wait_for_rivals(link, wanted, name, user, contested.contest))
            else:
                self._enter(link, admission, wanted, name)

    async def _wait_for_rivals(
        self, link: Link, wanted: OpenTunnel, name: str, user: UserRecord, contest: Contest
    ) -> None:
        await self._wait(lambda: contest.decided(self._clock()), CONTEST_PATIENCE)
        with self._refusals(link, name):
            admission = self._sessions.admit(wanted.cookie, link.peer, user, wanted.request, self._clock(), contest)
            self._enter(link, admission, wanted, name)

    def _enter(self, link: Link, admission: Admission, wanted: OpenTunnel, name: str) -> None:
        if self._sessions.settled(admission):
            self._start_tunnel(link, admission, wanted)
        else:
            self._begin(link, self._wait_for_room(link, admission, wanted, name))

    async def _wait_for_room(self, link: Link, admission: Admission, wanted: OpenTunnel, name: str) -> None:
        await self._settle(admission)
        with self._refusals(link, name):
            self._start_tunnel(link, admission, wanted)

    @contextmanager
    def _refusals(self, link: Link, user: str) -> Iterator[None]:
        """Answer a CONNECT whose tunnel is refused inside."""
        try:
            yield
        except CookieError:
            self._events.emit(VpnEvent.TUNNEL_REFUSED, user="", address=link.peer.address, reason="bad_cookie")
            self._carry_out(link, link.conversation.tunnel_refused())
        except RefusedError as refused:
            self._events.emit(VpnEvent.TUNNEL_REFUSED, user=user, address=link.peer.address, reason=refused.reason)
            self._carry_out(link, link.conversation.unavailable(refused.text, refused.retry_after))

    async def _settle(self, admission: Admission) -> None:
        """Wait for the sessions that make room: their addresses may be the ones wanted."""
        try:
            await self._wait(lambda: self._sessions.settled(admission), SETTLE_DEADLINE)
        except asyncio.CancelledError:
            self._sessions.abandon(admission)
            raise

    async def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        """Until ``condition``, which a change of some session brings about, or for ``seconds``."""
        if condition():
            return
        happened = asyncio.Event()
        self._awaited[happened] = condition
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await happened.wait()
        finally:
            del self._awaited[happened]

    def _start_tunnel(self, link: Link, admission: Admission, wanted: OpenTunnel) -> None:
        """Without a pause from here on: the link is still there, and the gateway takes it over."""
        grant = self._sessions.establish(admission, link.peer, wanted.request, self._clock())
        headers = render_connect_headers(
            grant,
            wanted.request,
            self._settings.network,
            self._settings.session,
            outer_ipv6=link.peer.address.version == 6,
            tls13=link.peer.tls_version == "TLSv1.3",
        )
        if grant.dtls is not None:
            port = self._settings.dtls_listen[0].port if self._settings.dtls_listen else link.peer.local_port
            headers += render_dtls_headers(grant.dtls, self._settings.session, port=port, dpd=grant.dpd, mtu=grant.mtu)
        head, early = link.conversation.tunnel_granted(headers)
        self._links.leave(link.peer.link)
        try:
            self._sessions.attach(admission, link.peer, wanted.request, grant, head, early)
        except GatewayError:
            self._sessions.link_closed(link.peer.link, Cause.LOCAL, self._clock())
