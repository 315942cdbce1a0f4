# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission against the limits of clients, and eviction where a limit is reached.

A client that was killed, or whose network failed, leaves a session that roams until its cookie expires. The session
keeps its lease, so it can always resume. But where the limit would refuse another login of the same user, the session
that has roamed longest is evicted. A session with a channel is evicted as ``on_excess`` says, or when it does not
answer a probe (``liveness_probe``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine import AdmissionRefused, Reason
from vpn_frontend.ports import CloseReason
from vpn_frontend.sessions.admission import Admission, RefusedError
from vpn_frontend.sessions.liveness_probe import PROBE_TIMEOUT, LivenessProbe, ProbePendingError
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.session import Peer, Session


class AdmissionControl:
    """Takes leases from the engine for sessions of ``index``."""

    def __init__(self, engine: Engine, gateway: Gateway, index: SessionIndex, closer: SessionCloser) -> None:
        self._engine = engine
        self._gateway = gateway
        self._index = index
        self._closer = closer

    def admit_session(
        self, session: Session, peer: Peer, request: TunnelRequest, now: float, probe: LivenessProbe | None
    ) -> Admission:
        """Returns the lease and the sessions evicted for it. Raises ``RefusedError``.

        Without ``probe`` it may probe the user's other sessions, and raises ``ProbePendingError``.
        """
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
                    limit=session.settings.own_client_limit,
                    session=session.id,
                )
                break
            except AdmissionRefused as error:
                self._evict(self._choose_evicted(session, error, probe, now), evicted, now)
        for other in self._index.find_by_user(session.user.name) if lease.evicts else ():
            if other.lease is not None and other.lease.id in lease.evicts:
                self._evict(other, evicted, now)
        return Admission(session, lease, peer, request, tuple(evicted))

    def _choose_evicted(
        self, newcomer: Session, error: AdmissionRefused, probe: LivenessProbe | None, now: float
    ) -> Session:
        """Another session of the newcomer's user. Raises ``RefusedError`` if none may be evicted."""
        verdict = error.verdict
        refused = RefusedError(error.text, verdict.reason.value, verdict.retry_after)
        if verdict.reason is not Reason.MAX_SAME_CLIENTS:
            raise refused from error
        own = self._index.find_by_user(newcomer.user.name)
        roaming = [session for session in own if session.is_evictable(now)]
        if roaming:
            return min(roaming, key=lambda session: session.expires_at or 0.0)
        if probe is None:
            raise self._start_probe(newcomer, refused, now) from error
        dead = probe.dead(now)
        if not dead:
            raise refused from error
        return dead[0]

    def _start_probe(self, newcomer: Session, refused: RefusedError, now: float) -> RefusedError:
        """Probe the other open sessions of the user. Without any the refusal stands."""
        own = self._index.find_by_user(newcomer.user.name)
        others = [session for session in own if session.phase is Phase.OPEN and session is not newcomer]
        for session in others:
            if session.gateway_id is not None:
                self._gateway.ask(session.gateway_id)
        probed = tuple((session, session.heard_count) for session in others)
        return ProbePendingError(refused, LivenessProbe(probed, now + PROBE_TIMEOUT)) if probed else refused

    def _evict(self, session: Session, evicted: list[Session], now: float) -> None:
        evicted.append(session)
        self._closer.close_session(session, CloseReason.REPLACED, now)
