# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway is told of a session when its tunnel opens, or opens again in a new process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.gateway.accounts import account_key
from vpn_frontend.gateway.interface import TunnelParameters

if TYPE_CHECKING:
    from vpn_frontend.gateway.limits import TunnelLimits
    from vpn_frontend.sessions.session import Session


def make_parameters(session: Session, limits: TunnelLimits) -> TunnelParameters:
    """Requires a session with addresses. Its counters go on from what they are."""
    settings, addresses = session.settings, session.addresses
    if addresses is None:
        raise ValueError(f"session {session.id} has no addresses")
    return TunnelParameters(
        addresses.ipv4,
        addresses.ipv6,
        session.mtu,
        session.dpd,
        idle_timeout=settings.session.idle_timeout_of(mobile=session.mobile),
        rekey=settings.session.rekey_time,
        limits=limits,
        iroutes=settings.network.iroutes,
        iroutes_exposed=settings.network.expose_iroutes,
        key=account_key(session.id),
        counters=session.counters,
    )
