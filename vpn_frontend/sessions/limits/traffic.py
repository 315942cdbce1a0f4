# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway enforces per packet of a session: restrictions, bandwidth and quota, from its effective settings.

Sessions of one user share a budget for the quota, and for the bandwidth where the settings say so. If their settings
differ, because they chose different groups, the session that was opened or changed last decides about the shared one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field
from ipaddress import ip_network
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.gateway.limits import NO_LIMITS, IpProtocol, PortRange, Restriction, TunnelLimits
from vpn_frontend.protocol.constants import MAX_MTU
from vpn_frontend.sessions.limits.usage import local_day
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from datetime import datetime

    from vpn_frontend.gateway.interface import Gateway
    from vpn_frontend.gateway.limits import Budget
    from vpn_frontend.sessions.index import SessionIndex
    from vpn_frontend.sessions.iroutes import Iroutes
    from vpn_frontend.sessions.limits.usage import UsageLedger
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.settings import Network, NetworkSettings

SPARE = MAX_MTU  # bytes; a quota with less than one packet left is used up


@dataclass(slots=True)
class SharedBudget:
    """The budget of one user, and the sessions that hold it, by id."""

    budget: Budget
    holders: set[str] = field(default_factory=set)


class TrafficLimits:
    """Makes and changes the limits of sessions with a tunnel."""

    def __init__(self, gateway: Gateway, index: SessionIndex, ledger: UsageLedger, iroutes: Iroutes) -> None:
        self._iroutes = iroutes
        self._gateway = gateway
        self._index = index
        self._ledger = ledger
        self._shared: dict[str, SharedBudget] = {}  # by user; while a session holds it

    def limits_of(self, session: Session) -> TunnelLimits:
        """The limits of a session that opens or whose settings have changed."""
        settings = session.settings
        rates = settings.bandwidth
        limited = bool(rates.from_client or rates.to_client)
        budgets: list[Budget] = []
        if limited and not rates.per_user:
            session.own_budget = session.own_budget or self._gateway.new_budget()
            session.own_budget.set_rates(rates.from_client, rates.to_client)
            budgets.append(session.own_budget)
        if session.metered or (limited and rates.per_user):
            shared = self._share(session)
            common = rates.per_user
            shared.set_rates(rates.from_client if common else 0, rates.to_client if common else 0)
            self._set_quota(session, shared)
            budgets.append(shared)
        else:
            self.release(session)
        network = settings.network
        restricted = network.restrict_to_routes or network.restrict_to_ports
        restriction = restriction_of(network, self._iroutes.exposed_to(session)) if restricted else None
        return TunnelLimits(restriction, tuple(budgets)) if restriction or budgets else NO_LIMITS

    def update(self, session: Session) -> None:
        """Put changed settings of a live session in force."""
        if session.gateway_id is not None:
            self._gateway.limit(session.gateway_id, self.limits_of(session))

    def renew_quota(self, session: Session) -> bool:
        """Set the quota to what is left. Returns false if that is nothing."""
        shared = self._shared.get(session.user.name)
        if shared is not None:
            self._set_quota(session, shared.budget)
        left = self._ledger.left(session.user.name, session.settings.quota)
        return left is None or left >= SPARE

    def account_user(self, user: str) -> None:
        """Count what the user's live sessions have moved so far."""
        for session in self._index.find_by_user(user):
            self._account(session)

    def turn_day(self, wall: datetime) -> None:
        """Begin another day or month of the quotas, if there is one. What was moved before belongs to the last."""
        today = local_day(wall)
        if today == self._ledger.today:
            return
        metered = [session for session in self._index.open_sessions() if session.metered]
        for session in metered:
            self._account(session)
        self._ledger.turn_to(today)
        for session in metered:
            self.renew_quota(session)

    def _account(self, session: Session) -> None:
        if session.metered and session.gateway_id is not None and session.phase is Phase.OPEN:
            with suppress(GatewayError):  # it has ended; its last counters come by an event
                self._ledger.account_session(session, self._gateway.counters(session.gateway_id))

    def release(self, session: Session) -> None:
        """The session holds no shared budget any more. Idempotent."""
        shared = self._shared.get(session.user.name)
        if shared is None:
            return
        shared.holders.discard(session.id)
        if not shared.holders:
            del self._shared[session.user.name]

    def _share(self, session: Session) -> Budget:
        shared = self._shared.get(session.user.name)
        if shared is None:
            shared = self._shared[session.user.name] = SharedBudget(self._gateway.new_budget())
        shared.holders.add(session.id)
        return shared.budget

    def _set_quota(self, session: Session, budget: Budget) -> None:
        left = self._ledger.left(session.user.name, session.settings.quota)
        budget.set_quota(None if left is None else max(0, left))


def restriction_of(network: NetworkSettings, exposed: tuple[Network, ...] = ()) -> Restriction | None:
    """``None``: the client may reach everything. Name servers that are announced count as routes.

    ``exposed`` are networks behind other clients, which are announced too.
    """
    if not network.restrict_to_routes and not network.restrict_to_ports:
        return None
    networks: tuple[Network, ...] | None = None
    excepted: tuple[Network, ...] = ()
    if network.restrict_to_routes:
        excepted = network.no_routes
        if network.routes:
            servers = tuple(ip_network(address) for address in (*network.dns, *network.nbns))
            networks = (*network.routes, *exposed, *servers)
    rules = network.restrict_to_ports
    ports = tuple(PortRange(IpProtocol[rule.protocol.upper()], rule.first, rule.last) for rule in rules)
    return Restriction(networks, excepted, ports or None, all_but_ports=bool(rules) and rules[0].denied)
