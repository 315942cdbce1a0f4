# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that need ``force``: those that lock the operator out, cover very much, or disconnect many sessions.

The same rules hold for the API, the Unix socket and the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.http.problems import ApiError, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vpn_frontend.ports import SessionView
    from vpn_frontend.settings import Address, Network

WIDEST = {4: 8, 6: 19}  # prefix length by IP version; no registry gives one holder more than an IPv4 /8 or an IPv6 /19
MAX_CUT = 20  # sessions that one change disconnects without force


def refuse_lockout(network: Network, own: Iterable[Address], sessions: Sequence[SessionView]) -> None:
    """Raises ``ApiError`` if ``network`` covers an address of ``own``, or the source of the tunnel that it is in."""
    for address in add_tunnel_sources(own, sessions):
        if address in network:
            raise lockout(f"A block of {network}", address)


def refuse_wide(network: Network) -> None:
    """Raises ``ApiError`` for a network wider than ``WIDEST``."""
    widest = WIDEST[network.version]
    if network.prefixlen < widest:
        detail = f"{network} is wider than a /{widest}; use force to block it anyway"
        raise ApiError(ProblemKind.NEEDS_FORCE, detail)


def refuse_large_cut(sessions: int) -> None:
    """Raises ``ApiError`` for a change that disconnects more than ``MAX_CUT`` sessions."""
    if sessions > MAX_CUT:
        detail = f"The change would disconnect {sessions} sessions, more than {MAX_CUT}; use force to apply it anyway"
        raise ApiError(ProblemKind.NEEDS_FORCE, detail)


def add_tunnel_sources(own: Iterable[Address], sessions: Sequence[SessionView]) -> list[Address]:
    """The addresses of ``own``, and the sources of the sessions of which one is an inner address."""
    given = list(dict.fromkeys(own))
    return [*given, *(view.address for view in sessions if view.ipv4 in given or view.ipv6 in given)]


def lockout(change: str, address: Address) -> ApiError:
    detail = f"{change} would refuse {address}, your own address; use force to apply it anyway"
    return ApiError(ProblemKind.SELF_LOCKOUT, detail)
