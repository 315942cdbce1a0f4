# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of the fleet as the database said last: their numbers, names, epochs, and where they listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from admin_api.fleet.membership.lease import lease_clock
from sentry_engine.records import dataclass
from vpn_frontend.sessions.fleet.port import FleetSilentError

if TYPE_CHECKING:
    from admin_api.fleet.calls import Calls

READ = "SELECT id, name, epoch, peer_url FROM fleet.nodes WHERE state <> 'left'"
FRESH = 5.0  # seconds that the list is used without a look
AGAIN = 0.5  # seconds between two looks for a node that is not on it


@dataclass(frozen=True, slots=True)
class Peer:
    node: int
    name: str
    epoch: int
    url: str  # empty: it listens nowhere


class PeerDirectory:
    """Stays as it is while the database is away."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._peers: dict[int, Peer] = {}
        self._looked_at = float("-inf")

    @property
    def epochs(self) -> dict[str, int]:
        return {peer.name: peer.epoch for peer in self._peers.values()}

    async def find(self, node: int) -> Peer | None:
        """The node of that number; looks again if it is not known, or the list is old."""
        if lease_clock() - self._looked_at > (FRESH if node in self._peers else AGAIN):
            await self._look()
        return self._peers.get(node)

    async def learn(self, name: str, epoch: int) -> None:
        """Look again if a node says that it has another epoch than the list, or is not on it, or the list is old.

        So the epoch of a node that has joined again since is old here too, within ``FRESH``.
        """
        if lease_clock() - self._looked_at > (FRESH if self.epochs.get(name) == epoch else AGAIN):
            await self._look()

    async def _look(self) -> None:
        self._looked_at = lease_clock()
        try:
            rows = await self._calls.call(READ, ())
        except (FleetSilentError, psycopg.DatabaseError):
            return
        self._peers = {row[0]: Peer(*row) for row in rows}
