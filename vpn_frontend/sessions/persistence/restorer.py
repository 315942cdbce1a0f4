# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives sessions of a former process back: each roams from the start, as after the loss of its channel.

Its client returns with its cookie, and everything that ends a roaming session ends it too. Nothing is granted that the
session would not get today: policy, account, settings, limits and pools are asked again.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sentry_engine import Action, AdmissionRefused
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import CloseReason, UserRecord
from vpn_frontend.sessions.addresses.pool import NoAddressError
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.limits.access import find_refusal, next_check
from vpn_frontend.sessions.session import Peer, Phase, Session
from vpn_frontend.sessions.settings_changes import merge_groups
from vpn_frontend.sessions.tunnel_parameters import make_parameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sentry_engine import Engine
    from vpn_frontend.gateway.interface import Counters, Gateway
    from vpn_frontend.sessions.addresses.pools import AddressPools
    from vpn_frontend.sessions.closing import SessionCloser
    from vpn_frontend.sessions.effective_settings import SettingsResolver
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.iroutes import Iroutes
    from vpn_frontend.sessions.limits.traffic import TrafficLimits
    from vpn_frontend.sessions.limits.usage import UsageLedger
    from vpn_frontend.sessions.persistence.resumption import Resumption


class SessionRestorer:
    """Works on the same parts as the session table. Used before the table has sessions of its own."""

    def __init__(
        self,
        *,
        index: SessionIndex,
        closer: SessionCloser,
        pools: AddressPools,
        iroutes: Iroutes,
        engine: Engine,
        gateway: Gateway,
        traffic: TrafficLimits,
        ledger: UsageLedger,
        resolver: SettingsResolver,
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._closer = closer
        self._pools = pools
        self._iroutes = iroutes
        self._engine = engine
        self._gateway = gateway
        self._traffic = traffic
        self._ledger = ledger
        self._resolver = resolver
        self._wall_clock = wall_clock

    def restore(
        self,
        saved: Resumption,
        user: UserRecord | CloseReason,
        counters: Counters,
        *,
        lost_at: float,
        now: float,
        accounted: int = 0,
        worker: int = 0,
    ) -> bool:
        """Returns whether the session lives on. If not, it is accounted for with ``counters``, its last ones.

        ``user`` is the present record, or why the session ends in any case. ``lost_at``: when its client lost its
        channel at the latest. ``accounted``: bytes that are in the usage of its user already. ``worker`` keeps it until
        its client returns. Raises ``ValueError`` if there is such a session.
        """
        refused = user if isinstance(user, CloseReason) else None
        present = saved.user if isinstance(user, CloseReason) else user
        session = self._make(saved, present, counters, lost_at)
        session.accounted_bytes = accounted
        if self._index.find_by_id(session.id) is not None:
            raise ValueError(f"session {session.id} is there")
        reason = refused or self._refusal(session, now) or self._open(session, now, worker)
        if reason is not None:
            session.phase, session.close_reason = Phase.CLOSED, reason
            self._ledger.account_session(session, counters)
            self._closer.report_end(session)
        return reason is None

    def suspend(self, now: float) -> int:
        """Leave sessions with a tunnel to a later process; end the others. Returns how many are left.

        To be called last, when the gateway reports nothing more.
        """
        for session in self._index:
            if session.phase is Phase.CLOSING:
                self._closer.finish_session(session)
            elif not session.has_tunnel:
                self._closer.close_session(session, CloseReason.SHUTDOWN, now)
        return len(self._index.open_sessions())

    def _make(self, saved: Resumption, user: UserRecord, counters: Counters, lost_at: float) -> Session:
        groups = saved.groups if user.external else merge_groups(saved.groups, saved.user.groups, user.groups)
        settings = self._resolver.resolve(user, groups, saved.remote, saved.host)
        peer = Peer(
            0,
            saved.address,
            saved.port,
            saved.tls_version,
            saved.cipher,
            local_port=saved.local_port,
            local_address=saved.local_address,
            host=saved.host,
        )
        return Session(
            id=saved.id,
            number=saved.number,
            user=user,
            groups=groups,
            settings=settings,
            device=saved.device,
            login_at=saved.login_at,
            logged_in_at=saved.logged_in_at,
            started_at=saved.started_at,
            user_agent=saved.user_agent,
            expires_at=lost_at + settings.session.cookie_timeout,
            remote=saved.remote,
            login_address=saved.login_address,
            digest=saved.digest,
            certificate_digest=saved.certificate_digest,
            host=saved.host,
            strap_keys=saved.strap_keys,
            peer=peer,
            hostname=saved.hostname,
            addresses=saved.addresses,
            mtu=saved.mtu,
            dpd=saved.dpd,
            mobile=saved.mobile,
            counters=counters,
            hooked=saved.hooked,
            told=saved.told,
            check_at=next_check(settings, self._wall_clock()),
        )

    def _refusal(self, session: Session, now: float) -> CloseReason | None:
        """Why the session may not go on."""
        if session.is_over(now):
            return CloseReason.SESSION_TIMEOUT
        if session.expires_at is None or now >= session.expires_at:
            return CloseReason.CONNECTION_LOST
        for address in session.sources:
            verdict = self._engine.judge_connected(address, user=session.user.name, groups=session.groups)
            if verdict.action is Action.REJECT:
                return CloseReason.POLICY
        refusal = find_refusal(session.settings, session.user.name, self._ledger, self._wall_clock())
        return None if refusal is None else refusal.reason

    def _open(self, session: Session, now: float, worker: int) -> CloseReason | None:
        """Take what the session needs. Returns why it cannot have it; then it holds nothing."""
        try:
            with ExitStack() as undo:
                self._take_lease(session, now, undo)
                self._take_network(session, undo)
                undo.callback(self._traffic.release, session)
                gateway_id = self._gateway.open_session(
                    worker, make_parameters(session, self._traffic.limits_of(session))
                )
                undo.pop_all()
        except AdmissionRefused:
            return CloseReason.POLICY
        except (NoAddressError, RefusedError, GatewayError):
            return CloseReason.FAILED
        session.phase = Phase.OPEN
        self._index.restore_session(session)
        self._index.set_gateway_id(session, gateway_id)
        return None

    def _take_lease(self, session: Session, now: float, undo: ExitStack) -> None:
        """Raises ``AdmissionRefused``. Evicts sessions of the user if its limit has become smaller."""
        lease = self._engine.admit(
            session.user.name,
            session.sources[0],
            now=now,
            groups=session.groups,
            device=session.device.unique_id or None,
            limit=session.settings.own_client_limit,
            session=session.id,
            restored=True,
        )
        undo.callback(self._engine.release, lease)
        session.lease = lease
        for other in self._index.find_by_user(session.user.name) if lease.evicts else ():
            if other.lease is not None and other.lease.id in lease.evicts:
                self._closer.close_session(other, CloseReason.REPLACED, now)

    def _take_network(self, session: Session, undo: ExitStack) -> None:
        """Raises ``NoAddressError`` or ``RefusedError``."""
        settings, addresses = session.settings, session.addresses
        if addresses is None:
            raise NoAddressError("the session had none")
        static = (settings.static_ipv4, settings.static_ipv6)
        self._pools.reclaim(session.user.name, addresses, settings.network, static)
        undo.callback(self._pools.give_back, addresses)
        self._iroutes.claim(session, addresses)
        undo.callback(self._iroutes.release, session)
