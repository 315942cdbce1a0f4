# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind clients (``network.iroutes``): which session has which, and what other clients may reach of them.

No two sessions have one address. A later session of the same user takes what overlaps with its own: a router that lost
its connection and logs in again has its networks at once. A session of another user is refused.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.settings import MAX_IROUTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.ports import ClientRoutes
    from vpn_frontend.sessions.addresses.outside import OutsideAddresses
    from vpn_frontend.sessions.addresses.pool import InnerAddresses
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.settings import Address, Network

REASON = "iroute_refused"


class Iroutes:
    """The networks of all sessions, at most ``MAX_IROUTES``."""

    def __init__(
        self,
        within: Iterable[Network],
        pools: Iterable[Network],
        kernel: ClientRoutes | None = None,
        outside: OutsideAddresses | None = None,
    ) -> None:
        """``within``: what clients may have behind them; ``pools`` are the server's own. ``kernel`` routes to us.

        ``outside``: the addresses of clients that are in no pool.
        """
        self._outside = outside
        self._within = tuple(within)
        self._pools = tuple(pools)
        self._kernel = kernel
        self._owners: dict[Network, Session] = {}

    def claim(self, session: Session, addresses: InnerAddresses) -> None:
        """Give the session with these addresses its networks. Raises ``RefusedError``, then nothing has changed."""
        if self._outside is not None and len(self._outside):
            self._check_addresses(session, (addresses.ipv4, addresses.ipv6), self._outside)
        if not session.settings.network.iroutes:
            return
        wanted = dict.fromkeys(session.settings.network.iroutes)
        for network in wanted:
            self._check(network)
        taken = [held for held in self._owners if any(_overlap(held, network) for network in wanted)]
        for held in taken:
            if self._owners[held].user.name != session.user.name:
                raise RefusedError(f"No tunnel: {held} is behind another client.", REASON)
        if len(self._owners) - len(taken) + len(wanted) > MAX_IROUTES:
            raise RefusedError("No tunnel: this server has too many networks behind clients.", REASON)
        for held in taken:
            del self._owners[held]
        self._owners.update(dict.fromkeys(wanted, session))
        self._tell_kernel([held for held in taken if held not in wanted], [one for one in wanted if one not in taken])

    def release(self, session: Session) -> None:
        """Take its networks from the session. Idempotent."""
        if not self._owners:
            return
        held = [network for network, owner in self._owners.items() if owner is session]
        for network in held:
            del self._owners[network]
        self._tell_kernel(held, [])

    def of_session(self, session: Session) -> tuple[Network, ...]:
        return tuple(network for network, owner in self._owners.items() if owner is session)

    def exposed_to(self, session: Session) -> tuple[Network, ...]:
        """The networks behind other clients that the session's client may reach."""
        if not self._owners:
            return ()
        return tuple(
            network
            for network, owner in self._owners.items()
            if owner is not session and owner.settings.network.expose_iroutes
        )

    def _check_addresses(
        self, session: Session, addresses: Iterable[Address | None], outside: OutsideAddresses
    ) -> None:
        """No user's network holds an address of another user. Raises ``RefusedError``."""
        user = session.user.name
        for network, owner in self._owners.items():
            if owner.user.name != user and any(address in network for address in addresses if address is not None):
                raise RefusedError(f"No tunnel: the fixed address is in {network}, behind another client.", REASON)
        for network in session.settings.network.iroutes:
            if outside.find_other(network, user) is not None:
                raise RefusedError(f"No tunnel: another client's address is in {network}.", REASON)

    def _check(self, network: Network) -> None:
        """Raises ``RefusedError``."""
        if network.prefixlen == 0 or network.is_multicast or network.is_loopback or network.is_link_local:
            raise RefusedError(f"No tunnel: {network} is no network behind a client.", REASON)
        if any(_overlap(network, pool) for pool in self._pools):
            raise RefusedError(f"No tunnel: {network} overlaps with the addresses of this server's clients.", REASON)
        if not any(_is_inside(network, outer) for outer in self._within):
            raise RefusedError(f"No tunnel: {network} may not be behind a client of this server.", REASON)

    def _tell_kernel(self, removed: Iterable[Network], added: Iterable[Network]) -> None:
        if self._kernel is None:
            return
        for network in removed:
            self._kernel.remove(network)
        for network in added:
            self._kernel.add(network)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _is_inside(network: Network, outer: Network) -> bool:
    same_family = isinstance(network, IPv4Network) is isinstance(outer, IPv4Network)
    return same_family and network.subnet_of(outer)  # type: ignore[arg-type]  # of the same family
