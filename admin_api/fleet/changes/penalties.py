# SPDX-License-Identifier: GPL-3.0-or-later
"""Penalties that are known to all nodes: a source in the penalty box of one is refused by the others too.

Each second a node publishes what has become worse since its last look: new and longer penalties, the ones with the most
strikes first. All nodes together publish at most ``PER_SECOND``; what does not fit stays with the node that saw the
source, and is counted. A penalty of another node is taken as one made here is: it refuses new clients, and cuts none
that is in. It travels with the seconds that are left, and never shortens one that is here.
"""

from __future__ import annotations

import math
from ipaddress import ip_network
from typing import TYPE_CHECKING

from admin_api.fleet.membership.node_list import count_applied
from admin_api.fleet.rounds import Rounds
from sentry_engine import Reason
from sentry_engine.addresses import pack_network, render_network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from admin_api.fleet.changes.changes import Change
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine, Penalty
    from vpn_frontend.settings import Network

PENALTY, FORGIVEN = "penalty", "penalties_forgiven"  # kinds of changes
PER_SECOND = 200  # penalties that all nodes publish together
INTERVAL = 1.0  # seconds between two looks
PAUSES = 20  # times as long as a look takes, at least: with many penalties it is work
LONGER = 1.0  # seconds by which a penalty must have become longer to be told again
REASONS = {reason.value: reason for reason in Reason}
Known = dict[tuple[bytes, int], float]  # ends by network, on the engine's clock


class PenaltyPart(Rounds):
    """Publishes from ``start`` on. ``left_out`` counts what was not published."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        membership: Membership,
        *,
        control: ControlWorker,
        lift: Callable[[], Awaitable[object]],
        report: Callable[[str], None],
    ) -> None:
        """``control`` lists penalties, ``lift`` has the kernel's filter let forgiven sources in."""
        super().__init__("penalties of the fleet", report)
        self._engine, self._store, self._membership = engine, store, membership
        self._control, self._lift = control, lift
        self._known: Known = {}  # what the other nodes were told, or have told
        self.left_out = 0

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take penalties over, and forgive, in the order of the changes."""
        here = _ends(await self._control.run(self._engine.penalties))
        for change in changes:
            if change.kind == FORGIVEN:
                await self._forgive(change)
                here = _ends(await self._control.run(self._engine.penalties))
            elif not change.own:
                self._take(change, here)

    async def compare(self, *, restored: bool) -> None:
        """Nothing: penalties are short, and those that went unheard stay with the nodes that made them."""

    async def publish(self) -> int:
        """Tell the others what has become worse. Returns how many penalties that was."""
        penalties = await self._control.run(self._engine.penalties)
        known, now = self._known, self._store.clock.monotonic()
        worse = [one for one in penalties if one.until > known.get((one.network, one.length), now) + LONGER]
        self._known = {key: end for key, end in known.items() if end > now}
        if not worse:
            return 0
        _, live = await count_applied(self._store, 0, self._membership.settings.dead_after)
        worse.sort(key=lambda one: (one.strikes, one.until), reverse=True)
        told = worse[: max(1, int(PER_SECOND * INTERVAL / max(1, live)))]
        async with self._store.write() as unit:
            for one in told:
                seconds = None if math.isinf(one.until) else one.until - now
                network = render_network(one.network, one.length)
                unit.changes.note(PENALTY, network, seconds=seconds, reason=one.reason.value, rule=one.rule_id)
        self._known |= _ends(worse)
        self.left_out += len(worse) - len(told)
        return len(told)

    async def _forgive(self, change: Change) -> None:
        network = ip_network(change.key)
        if not change.own:
            self._engine.clear_penalties(network)
            await self._lift()
        self._known = {
            key: end for key, end in self._known.items() if not _overlaps(network, ip_network(render_network(*key)))
        }

    def _take(self, change: Change, here: Known) -> None:
        seconds = change.body["seconds"]
        left = math.inf if seconds is None else float(seconds) - change.age
        network = ip_network(change.key)
        reason = REASONS.get(change.body["reason"], Reason.PENALTY)  # a later version may have others
        key = pack_network(network)
        end = self._store.clock.monotonic() + left
        if left <= 0:
            return
        self._known[key] = max(end, self._known.get(key, end))
        if end > here.get(key, -math.inf):
            self._engine.penalize(network, left, reason=reason, rule_id=change.body["rule"])
            here[key] = end

    async def work(self) -> None:
        if self._membership.lease.identity:
            await self.publish()

    def pause(self, took: float) -> float:
        return max(INTERVAL, PAUSES * took)


def _ends(penalties: Sequence[Penalty]) -> Known:
    return {(one.network, one.length): one.until for one in penalties}


def _overlaps(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
