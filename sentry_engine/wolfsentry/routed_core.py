# SPDX-License-Identifier: GPL-3.0-or-later
"""A core with wolfSentry's route tables, which match what no prefix table can: port, protocol, bitmask, counters.

It decides in this order: ``front`` (a core with only ``never_block`` and the rules of the plan), the route tables,
``inner`` (the core with the whole plan). An accepting route skips the tiers after it, as a rule does. The walk is
DECISION ORDER of ``cores.interface`` with a tier ``routes`` between rules and penalties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock
from typing import Protocol

from sentry_engine.addresses import render_address
from sentry_engine.cores.bulk import BulkDecisions
from sentry_engine.cores.interface import (
    Burst,
    Core,
    CoreCounters,
    KnownNetworks,
    Penalty,
    Request,
    SourceState,
    Step,
    Strikes,
)
from sentry_engine.cores.plan import Plan, PrefixTable, Tier
from sentry_engine.verdict import FIRST_CUSTOM_EVENT, Action, Event, Reason, Verdict
from sentry_engine.wolfsentry import Endpoint, Outcome, Traffic

TCP, UDP = 6, 17
# Events as wolfSentry's results. A connection is counted when it opens its tunnel.
RESULTS: dict[int, frozenset[str]] = {
    Event.TLS_HANDSHAKE_FAILED: frozenset({"derogatory"}),
    Event.AUTH_FAILURE: frozenset({"derogatory"}),
    Event.AUTH_SUCCESS: frozenset({"commendable"}),
    Event.SESSION_START: frozenset({"connect"}),
    Event.DISCONNECT: frozenset({"disconnect"}),
}
NO_RESULTS: frozenset[str] = frozenset()


class Routes(Protocol):
    """One configuration in force, as ``RouteTable`` or in libwolfsentry."""

    def dispatch(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome: ...

    def preview(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome:
        """The outcome that ``dispatch`` would have. Counts nothing."""

    def knows_event(self, label: str) -> bool: ...


class RoutedCore(BulkDecisions):
    """``interface.Core``. Does not own ``front`` and ``inner``."""

    def __init__(self, front: Core, inner: Core, tables: Sequence[Routes]) -> None:
        self._front = front
        self._inner = inner
        self._tables = tuple(tables)
        self._lock = Lock()  # held while a table decides
        self._labels: tuple[str, ...] = ()
        self._decided: Counter[str] = Counter()
        self._decisions = 0
        self._verdicts: Counter[tuple[Action, Reason]] = Counter()

    def publish(self, plan: Plan) -> None:
        self._inner.publish(plan)
        self.publish_front(plan)

    def publish_front(self, plan: Plan) -> None:
        """``publish`` if ``inner`` has the plan already."""
        self._front.publish(strip(plan))
        self._labels = plan.event_labels

    def decide(self, request: Request) -> Verdict:
        verdict = self._front.decide(request)
        if verdict.reason is Reason.DEFAULT:
            found = self._ask(request, count=request.verified)  # an unverified source is not counted
            if found is None:
                return self._inner.decide(request)
            verdict = found
        with self._lock:
            self._decisions += 1
            self._verdicts[verdict.action, verdict.reason] += 1
            if verdict.rule_id is not None:
                self._decided[verdict.rule_id] += 1
        return verdict

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        verdict, steps = self._inner.trace(request)
        tiers = [step.tier for step in steps]
        if "rules" not in tiers:
            return verdict, steps  # an unknown event
        at = tiers.index("rules") + 1
        found = self._ask(request, count=False)
        if found is None:
            return verdict, [*steps[:at], Step("routes", None, None, None, None, decisive=False), *steps[at:]]
        before = any(step.decisive for step in steps[:at])
        source = render_address(request.address)
        mine = Step("routes", source, found.rule_id, found.action, found.reason, decisive=not before)
        if before:
            return verdict, [*steps[:at], mine, *steps[at:]]
        return found, [*steps[:at], mine, *(replace(step, decisive=False) for step in steps[at:])]

    def rule_hits(self) -> dict[str, int]:
        with self._lock:
            decided = Counter(self._decided)
        return dict(decided + Counter(self._inner.rule_hits()))

    def counters(self) -> CoreCounters:
        inner = self._inner.counters()
        verdicts = Counter(inner.verdicts) + self._verdicts
        return replace(inner, decisions=inner.decisions + self._decisions, verdicts=verdicts)

    def close(self) -> None:
        """Does nothing: the caller owns both cores."""

    # -- state, held by the core with the whole plan

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None:
        self._inner.penalize(network, length, until, reason, rule_id)

    def pay_back(self, address: bytes, event: int, points: int) -> None:
        self._inner.pay_back(address, event, points)

    def clear_penalties(self, network: bytes, length: int, now: float) -> int:
        return self._inner.clear_penalties(network, length, now)

    def penalties(self, now: float) -> list[Penalty]:
        return self._inner.penalties(now)

    def strikes(self, now: float) -> list[Strikes]:
        return self._inner.strikes(now)

    def restore_strikes(self, strikes: Strikes, now: float) -> None:
        self._inner.restore_strikes(strikes, now)

    def bursts(self, now: float) -> list[Burst]:
        return self._inner.bursts(now)

    def restore_burst(self, burst: Burst, now: float) -> None:
        self._inner.restore_burst(burst, now)

    def take_changes(self, now: float, most: int) -> list[tuple[bytes, int]]:
        return self._inner.take_changes(now, most)

    def list_known(self, now: float, most: int) -> KnownNetworks:
        return self._inner.list_known(now, most)

    def read_networks(self, networks: Iterable[tuple[bytes, int]], clock: Callable[[], float]) -> Iterator[SourceState]:
        return self._inner.read_networks(networks, clock)

    def _ask(self, request: Request, *, count: bool) -> Verdict | None:
        """The verdict of the first table with a deciding route."""
        traffic = describe_request(request)
        results = RESULTS.get(request.event, NO_RESULTS)
        with self._lock:
            for table in self._tables:
                label = self._label(table, request.event)
                ask = table.dispatch if count else table.preview
                outcome = ask(traffic, results, now=request.now, event=label)
                if outcome.route is not None and outcome.results & {"accept", "reject"}:
                    action = Action.ACCEPT if outcome.accepted else Action.REJECT
                    return Verdict(action, Reason.RULE, f"route:{outcome.route}")
        return None

    def _label(self, table: Routes, event: int) -> str | None:
        """The label of the event if the configuration has one of that name."""
        at = event - FIRST_CUSTOM_EVENT
        label = self._labels[at] if 0 <= at < len(self._labels) else Event(event).name.lower()
        return label if table.knows_event(label) else None


def strip(plan: Plan) -> Plan:
    """The plan with only ``never_block`` and rules. All else is accepted with the reason ``default``."""
    kept = {Tier.NEVER_BLOCK, Tier.RULES}
    tables = tuple(table if tier in kept else PrefixTable() for tier, table in zip(Tier, plan.tables, strict=True))
    return replace(plan, tables=tables, limits=(), limit_sets=(), paybacks=(), default=Action.ACCEPT, on_missing=None)


def describe_request(request: Request) -> Traffic:
    """A request as traffic. The engine is told no local address and no interface."""
    protocol = request.protocol or (UDP if request.event == Event.DTLS_HANDSHAKE else TCP)
    remote = Endpoint(render_address(request.address), request.port)
    return Traffic(remote, Endpoint(port=request.local_port), protocol)
