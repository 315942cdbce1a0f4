# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that stay within the limits of each node and exceed them over all nodes together.

Each second a node writes its ``MOST`` heaviest sources, with their events that still count; one of the nodes adds up
what all have written, and penalises a source that has exceeded a limit. The penalties of the fleet carry that to the
others. Nothing waits for this: each node's own limits hold at once. A source that spreads over k nodes gets k times the
limit until then, about three seconds. Limits without a penalty, and those with a schedule, are each node's own.
"""

from __future__ import annotations

import json
from heapq import nlargest
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from admin_api.fleet.rounds import Rounds
from sentry_engine import Reason
from sentry_engine.addresses import pack_network
from sentry_engine.records import dataclass
from sentry_engine.rules.defaults import BUILTIN_LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from admin_api.clock import Clock
    from admin_api.fleet.calls import Calls
    from admin_api.fleet.membership.membership import Membership
    from admin_api.workers import ControlWorker
    from sentry_engine import Engine
    from sentry_engine.engine.saved_state import SavedSource
    from sentry_engine.rules.model import LimitRule

MOST = 64  # sources of one node
MOST_BURSTS = 16  # of one source: a dozen per event
INTERVAL = 1.0  # seconds between two looks
PAUSES = 20  # times as long as a look takes, at least: with many sources it is work
SHARE = "SELECT node, age, top FROM fleet.share_heavy_v1(%s, %s::jsonb)"
Shared = tuple[int, float, list[list[Any]]]  # node, seconds since it wrote, rows of ``heaviest``


@dataclass(frozen=True, slots=True)
class Excess:
    """A source that has exceeded a limit. ``age``: seconds since its last event."""

    network: str
    rule_id: str
    seconds: float
    age: float


def limits_of(engine: Engine, now: float) -> list[LimitRule]:
    """Returns the limits with a penalty that hold at ``now`` (Unix time), whatever the time of day."""
    policy = engine.policy
    rules = (*policy.limit_rules, *(() if policy.builtin_limits is False else BUILTIN_LIMITS))
    return [
        rule
        for rule in rules
        if rule.penalty > 0 and not rule.schedule and (rule.expires_at is None or rule.expires_at > now)
    ]


def heaviest(sources: Iterable[SavedSource], limits: Sequence[LimitRule], now: float) -> list[list[Any]]:
    """Returns the sources nearest to a limit: network, strikes, ``[label, first age, last age, count]`` of events."""
    least: dict[str, int] = {}
    for rule in limits:
        least[rule.event] = min(rule.max_events, least.get(rule.event, rule.max_events))

    def weight(source: SavedSource) -> float:
        counts: dict[str, int] = {}
        for burst in source.events:
            counts[burst.label] = counts.get(burst.label, 0) + burst.count
        return max((count / least[label] for label, count in counts.items() if label in least), default=0.0)

    found = nlargest(MOST, ((weight(source), place, source) for place, source in enumerate(sources)))
    return [
        [
            source.network,
            source.strikes,
            [
                [burst.label, round(now - burst.first, 3), round(now - burst.last, 3), burst.count]
                for burst in source.events[-MOST_BURSTS:]
                if burst.label in least
            ],
        ]
        for how_near, _, source in found
        if how_near > 0
    ]


def find_excesses(shared: Sequence[Shared], limits: Sequence[LimitRule]) -> list[Excess]:
    """Returns the sources of several nodes whose events together exceed a limit."""
    seen: dict[str, list[tuple[int, int, str, float, float, int]]] = {}
    for node, age, rows in shared:
        for network, strikes, bursts in rows:
            for label, first, last, count in bursts:
                seen.setdefault(network, []).append((node, strikes, label, first + age, last + age, count))
    found = []
    for network, events in seen.items():
        if len({event[0] for event in events}) < 2:
            continue
        for rule in limits:
            counted = [event for event in events if event[2] == rule.event and event[3] <= rule.window]
            if sum(event[5] for event in counted) > rule.max_events and _covers(rule, network):
                strikes = max(event[1] for event in counted)
                seconds = min(rule.penalty * rule.penalty_growth ** min(strikes, 64), rule.penalty_max)
                found.append(Excess(network, rule.id, seconds, min(event[4] for event in counted)))
                break
    return found


def _covers(rule: LimitRule, network: str) -> bool:
    packed, length = pack_network(network)
    number = int.from_bytes(packed, "big")
    return any(
        wide <= length and int.from_bytes(prefix, "big") >> (128 - wide) == number >> (128 - wide)
        for prefix, wide in rule.prefixes
    )


class HeavyPart(Rounds):
    """Looks from ``start`` on."""

    def __init__(
        self,
        engine: Engine,
        calls: Calls,
        membership: Membership,
        clock: Clock,
        *,
        control: ControlWorker,
        report: Callable[[str], None],
    ) -> None:
        """``control`` lists sources and adds them up."""
        super().__init__("sources of the fleet", report)
        self._engine, self._calls, self._membership, self._clock = engine, calls, membership, clock
        self._control = control
        self._told = False  # the database has rows of this node
        self._given: dict[str, float] = {}  # when sources were penalised, on ``clock``

    async def look(self) -> list[Excess]:
        """Write what this node has, and penalise what all together have too much of. Raises the database's error."""
        identity = self._membership.identity
        if identity is None:
            return []
        wall = self._clock.wall().timestamp()
        limits = limits_of(self._engine, wall)
        top = await self._control.run(lambda: heaviest(self._engine.sources(), limits, wall)) if limits else []
        if not top and not self._told:
            return []
        rows = await self._calls.call(SHARE, (identity.node, json.dumps(top)))
        self._told = bool(top)
        shared = [(row[0], row[1], row[2]) for row in rows]
        return self._penalise(await self._control.run(find_excesses, shared, limits), limits)

    def _penalise(self, excesses: Sequence[Excess], limits: Sequence[LimitRule]) -> list[Excess]:
        now = self._clock.monotonic()
        longest = max((rule.window for rule in limits), default=0.0)
        self._given = {network: at for network, at in self._given.items() if now - at < longest}
        new = [one for one in excesses if now - one.age > self._given.get(one.network, float("-inf"))]
        for one in new:
            self._engine.penalize(ip_network(one.network), one.seconds, reason=Reason.RATE_LIMIT, rule_id=one.rule_id)
            self._given[one.network] = now
        return new

    async def work(self) -> None:
        await self.look()

    def pause(self, took: float) -> float:
        return max(INTERVAL, PAUSES * took)
