# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gives way to whom where the limits of clients are reached.

A client that was killed, or whose network broke, leaves a session that roams until its cookie dies. It holds its lease
all that time, so that it can come back whatever happens; but where the limit of clients would keep its own user out,
the session that roams longest is ended for the new login. A session with a channel gives way as the policy on excess
says, or when it is found dead (``contest``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine import AdmissionRefused, Reason
from vpn_frontend.ports import CloseReason
from vpn_frontend.sessions.admission import Admission, RefusedError
from vpn_frontend.sessions.liveness_probe import CONTEST_PATIENCE, Contest, ContestedError
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.sessions.session import Peer, Session


class Places:
    """Takes a place for a tunnel from the engine's limits. ``end`` ends a session that makes room."""

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        *,
        of_user: Callable[[str], list[Session]],
        end: Callable[[Session, CloseReason, float], None],
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._of_user = of_user
        self._end = end

    def admit(
        self, session: Session, peer: Peer, request: TunnelRequest, now: float, contest: Contest | None
    ) -> Admission:
        """A lease, and the sessions ended for it. Raises ``RefusedError``, with a contest ``ContestedError``."""
        evicted: list[Session] = []
        device = request.device_id or session.device.unique_id or None
        while True:
            try:
                lease = self._engine.admit(
                    session.user.name,
                    peer.address,
                    now=now,
                    groups=session.groups,
                    device=device,
                    limit=session.user.max_same_clients,
                    session=session.id,
                )
                break
            except AdmissionRefused as error:
                self._evict(self._find_rival(session, error, contest, now), evicted, now)
        for other in self._of_user(session.user.name) if lease.evicts else ():
            if other.lease is not None and other.lease.id in lease.evicts:
                self._evict(other, evicted, now)
        return Admission(session, lease, peer, request, tuple(evicted))

    def _find_rival(self, newcomer: Session, error: AdmissionRefused, contest: Contest | None, now: float) -> Session:
        verdict = error.verdict
        refused = RefusedError(error.text, verdict.reason.value, verdict.retry_after)
        if verdict.reason is not Reason.MAX_SAME_CLIENTS:
            raise refused from error
        rival = self._who_gives_way(newcomer, contest, now)
        if rival is None:
            raise (self._contested(newcomer, refused, now) if contest is None else refused) from error
        return rival

    def _who_gives_way(self, newcomer: Session, contest: Contest | None, now: float) -> Session | None:
        rivals = [session for session in self._of_user(newcomer.user.name) if session.gives_way(now)]
        if rivals:
            return min(rivals, key=lambda rival: rival.expires_at or 0.0)
        return next(iter(contest.dead(now)), None) if contest is not None else None

    def _contested(self, newcomer: Session, refused: RefusedError, now: float) -> RefusedError:
        """Ask the rivals whether they are there; without any the refusal stands."""
        own = self._of_user(newcomer.user.name)
        rivals = [session for session in own if session.phase is Phase.OPEN and session is not newcomer]
        for rival in rivals:
            if rival.gateway_id is not None:
                self._gateway.ask(rival.gateway_id)
        asked = tuple((rival, rival.signs_of_life) for rival in rivals)
        return ContestedError(refused, Contest(asked, now + CONTEST_PATIENCE)) if asked else refused

    def _evict(self, session: Session, evicted: list[Session], now: float) -> None:
        evicted.append(session)
        self._end(session, CloseReason.REPLACED, now)
