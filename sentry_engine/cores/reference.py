# SPDX-License-Identifier: GPL-3.0-or-later
"""The core in plain Python: the specification of ``core.Core``, and the oracle that the native core is compared with.

The walk is a list of tiers. Each looks at one request and returns a finding; the first finding with a verdict decides.
``decide`` stops there and counts, ``trace`` looks at every tier and counts nothing, and both run the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from sentry_engine.addresses import V4_OFFSET, is_ipv4, mask, render_network
from sentry_engine.cores.bulk import Answers
from sentry_engine.cores.interface import Burst, CoreCounters, Penalty, Request, Step, Strikes
from sentry_engine.cores.nanoseconds import reached, until
from sentry_engine.cores.plan import Limit, Plan, PlanError, Tier
from sentry_engine.cores.reference_penalties import PenaltyBox
from sentry_engine.cores.reference_prefixes import PrefixIndex
from sentry_engine.cores.reference_windows import MAX_EVENTS, MAX_SOURCES, Rates, Sketch
from sentry_engine.verdict import FIRST_CUSTOM_EVENT, NO_RULE, Action, Event, Reason, Verdict

MAX_WINDOW = 10 * 365 * 86_400  # seconds
GEO_TIERS = (Tier.COUNTRY, Tier.ASN, Tier.ANONYMIZER)  # where only a refusal decides


@dataclass(frozen=True, slots=True)
class Finding:
    """What one tier says: the step to show, and the verdict where it decides."""

    step: Step
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plan and its indices: replaced as one, so that a request sees one policy from its first tier to its last."""

    plan: Plan
    indices: tuple[PrefixIndex, ...]
    events: frozenset[int]  # the numbers that may be asked about


class TwinCore(Answers):
    """``core.Core`` under one lock."""

    def __init__(self, *, max_sources: int = MAX_SOURCES) -> None:
        self._lock = Lock()
        self._loaded: Loaded | None = None
        self._rates = Rates(max_sources)
        self._sketch = Sketch()
        self._box = PenaltyBox()
        self._hits: Counter[str] = Counter()
        self._decisions = 0
        self._refused = 0

    def publish(self, plan: Plan) -> None:
        loaded = load_plan(plan)
        with self._lock:
            self._loaded = loaded

    def decide(self, request: Request) -> Verdict:
        with self._lock:
            verdict = next(f.verdict for f in map(self._look(request, count=True), self._tiers(request)) if f.verdict)
            self._decisions += 1
            self._refused += not verdict.accepted
            if verdict.rule_id is not None:
                self._hits[verdict.rule_id] += 1
            return verdict

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        with self._lock:
            findings = [self._look(request, count=False)(tier) for tier in self._tiers(request)]
        deciding = next(i for i, finding in enumerate(findings) if finding.verdict)
        steps = [replace(finding.step, decisive=i == deciding) for i, finding in enumerate(findings)]
        verdict = findings[deciding].verdict
        assert verdict is not None  # noqa: S101  # the default tier always has one
        return verdict, steps

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None:
        with self._lock:
            self._box.put(Penalty(mask(network, length), length, until, 1, reason, rule_id))

    def forgive(self, network: bytes, length: int, now: float) -> int:
        with self._lock:
            self._rates.forget((network, length))
            return self._box.lift(network, length, now)

    def penalties(self, now: float) -> list[Penalty]:
        with self._lock:
            return self._box.in_force(now)

    def strikes(self, now: float) -> list[Strikes]:
        with self._lock:
            return self._rates.strikes(now)

    def remember(self, strikes: Strikes, now: float) -> None:
        with self._lock:
            if not reached(now, strikes.until):
                self._rates.remember(strikes)
                self._box.recount(strikes)

    def bursts(self, now: float) -> list[Burst]:
        with self._lock:
            return [burst for burst in self._rates.bursts() if self._still_counts(burst, now)]

    def restore(self, burst: Burst, now: float) -> None:
        with self._lock:
            if self._still_counts(burst, now):
                self._rates.restore(burst, now)

    def _still_counts(self, burst: Burst, now: float) -> bool:
        limit = find_limit(self._loaded, burst.network, burst.event) if self._loaded else None
        return limit is not None and not reached(now, burst.last + limit.window)

    def rule_hits(self) -> dict[str, int]:
        with self._lock:
            return dict(self._hits)

    def counters(self) -> CoreCounters:
        with self._lock:
            return CoreCounters(self._decisions, self._refused, len(self._rates), len(self._box), self._rates.evicted)

    def close(self) -> None:
        with self._lock:
            self._loaded = None

    def _tiers(self, request: Request) -> tuple[Look, ...]:
        known = self._loaded is None or request.event in self._loaded.events
        return TIERS if known else (Walk.look_at_unknown_event,)

    def _look(self, request: Request, *, count: bool) -> Callable[[Look], Finding]:
        if self._loaded is None:
            raise RuntimeError("the core has no plan: publish one first, and ask nothing after close")
        walk = Walk(self._loaded, request, self._rates, self._sketch, self._box, count)
        return lambda tier: tier(walk)


@dataclass(frozen=True, slots=True)
class Walk:
    """One request on its way through the tiers."""

    loaded: Loaded
    request: Request
    rates: Rates
    sketch: Sketch
    box: PenaltyBox
    count: bool

    def look_in_table(self, tier: Tier) -> Finding:
        """The most specific live entry of one prefix table decides, unless it only informs."""
        plan, address, now = self.loaded.plan, self.request.address, self.request.now
        for length, value in self.loaded.indices[tier].matches(address):
            entry = plan.entries[value]
            if entry.expires_at is not None and reached(now, entry.expires_at):
                continue
            rule_id = name_rule(plan, entry.rule)
            matched = render_network(mask(address, length), length)
            step = Step(tier.name.lower(), matched, rule_id, entry.action, entry.reason, decisive=False)
            decides = entry.action is Action.REJECT or (entry.action is not None and tier not in GEO_TIERS)
            verdict = Verdict(entry.action, entry.reason, rule_id) if decides and entry.action else None
            return Finding(step, verdict)
        return Finding(Step(tier.name.lower(), None, None, None, None, decisive=False))

    def look_at_unknown_event(self) -> Finding:
        """A number that no label stands for is refused: what it would be limited by is unknown."""
        step = Step("event", None, None, Action.REJECT, Reason.INVALID_REQUEST, decisive=False)
        return Finding(step, Verdict(Action.REJECT, Reason.INVALID_REQUEST))

    def look_at_never_block(self) -> Finding:
        return self.look_in_table(Tier.NEVER_BLOCK)

    def look_at_rules(self) -> Finding:
        return self.look_in_table(Tier.RULES)

    def look_at_penalties(self) -> Finding:
        penalty = self.box.find(self.request.address, self.request.now)
        if penalty is None:
            return Finding(Step("penalty", None, None, None, None, decisive=False))
        action = Action.RATE_LIMITED if penalty.reason is Reason.PENALTY else Action.REJECT
        matched = render_network(penalty.network, penalty.length)
        verdict = Verdict(action, penalty.reason, penalty.rule_id, until(self.request.now, penalty.until))
        return Finding(Step("penalty", matched, penalty.rule_id, action, penalty.reason, decisive=False), verdict)

    def look_at_feeds(self) -> Finding:
        return self.look_in_table(Tier.FEEDS)

    def look_at_country(self) -> Finding:
        finding = self.look_in_table(Tier.COUNTRY)
        on_missing = self.loaded.plan.on_missing
        if finding.step.matched is not None or on_missing is None:
            return finding
        step = replace(finding.step, action=on_missing, reason=Reason.GEOIP_MISSING)
        refuses = on_missing is not Action.ACCEPT
        return Finding(step, Verdict(on_missing, Reason.GEOIP_MISSING) if refuses else None)

    def look_at_asn(self) -> Finding:
        return self.look_in_table(Tier.ASN)

    def look_at_anonymizer(self) -> Finding:
        return self.look_in_table(Tier.ANONYMIZER)

    def look_at_limits(self) -> Finding:
        """Counts the event of a request that came this far, and starts the penalty of one too many."""
        limit = find_limit(self.loaded, self.request.address, self.request.event)
        if limit is None:
            self._pay_back()
            return Finding(Step("limits", None, None, None, None, decisive=False))
        plan, request, source = self.loaded.plan, self.request, find_source(self.loaded.plan, self.request.address)
        rule_id = name_rule(plan, limit.rule)
        counts = self.rates if request.verified else self.sketch
        wait = counts.wait(source, limit, request.now)
        matched = f"{limit.max_events} in {limit.window:g} s by {render_network(*source)}"
        if wait is not None:
            verdict = self._refuse(source, limit, rule_id, wait)
            return Finding(Step("limits", matched, rule_id, verdict.action, verdict.reason, decisive=False), verdict)
        if self.count:
            counts.count(source, limit, request.now)
        self._pay_back()
        step = Step("limits", matched, rule_id, Action.ACCEPT, Reason.WITHIN_LIMIT, decisive=False)
        return Finding(step)

    def look_at_default(self) -> Finding:
        plan = self.loaded.plan
        verdict = Verdict(plan.default, Reason.DEFAULT)
        limit = find_limit(self.loaded, self.request.address, self.request.event)
        if verdict.accepted and limit is not None:
            verdict = Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT, name_rule(plan, limit.rule))
        return Finding(Step("default", None, verdict.rule_id, verdict.action, verdict.reason, decisive=False), verdict)

    def _refuse(self, source: tuple[bytes, int], limit: Limit, rule_id: str | None, wait: float) -> Verdict:
        if not self.request.verified or limit.penalty == 0:
            if self.count and not self.request.verified:
                self.sketch.refuse(source, limit, self.request.now)
            return Verdict(Action.RATE_LIMITED, Reason.RATE_LIMIT, rule_id, wait)
        now = self.request.now
        strike = self.rates.foresee(source, limit, now)
        if self.count:
            self.rates.strike(source, limit, strike, now)
            reason = Reason.BLACKLISTED if strike.blacklisted else Reason.PENALTY
            penalty = Penalty(*source, now + strike.seconds, strike.number, reason, rule_id)
            self.box.put(penalty)
            self.box.escalate(penalty, now, self.loaded.plan.aggregation.escalate_after)
        if strike.blacklisted:
            return Verdict(Action.REJECT, Reason.BLACKLISTED, rule_id, strike.seconds)
        return Verdict(Action.RATE_LIMITED, Reason.RATE_LIMIT, rule_id, strike.seconds)

    def _pay_back(self) -> None:
        if not self.count or not self.request.verified:
            return
        source = find_source(self.loaded.plan, self.request.address)
        for payback in self.loaded.plan.paybacks:
            if payback.event == self.request.event:
                self.rates.pay_back(source, payback.from_event, payback.points)


Look = Callable[[Walk], Finding]
TIERS: tuple[Look, ...] = (
    Walk.look_at_never_block,
    Walk.look_at_rules,
    Walk.look_at_penalties,
    Walk.look_at_feeds,
    Walk.look_at_country,
    Walk.look_at_asn,
    Walk.look_at_anonymizer,
    Walk.look_at_limits,
    Walk.look_at_default,
)


def find_limit(loaded: Loaded, address: bytes, event: int) -> Limit | None:
    """The limit of this event in the most specific ``LIMITS`` row."""
    plan = loaded.plan
    for _, value in loaded.indices[Tier.LIMITS].matches(address):
        limits = (plan.limits[i] for i in plan.limit_sets[value])
        return next((limit for limit in limits if limit.event == event), None)
    return None


def find_source(plan: Plan, address: bytes) -> tuple[bytes, int]:
    """The packed prefix that is one source, by the plan's aggregation."""
    aggregation = plan.aggregation
    length = aggregation.ipv4_prefix + V4_OFFSET if is_ipv4(address) else aggregation.ipv6_prefix
    return mask(address, length), length


def name_rule(plan: Plan, rule: int) -> str | None:
    return None if rule == NO_RULE else plan.rule_ids[rule]


def load_plan(plan: Plan) -> Loaded:
    """Index a plan, or raise ``PlanError`` for one whose columns point nowhere."""
    if len(plan.tables) != len(Tier):
        raise PlanError(f"a plan has {len(Tier)} tables, not {len(plan.tables)}")
    rules = [entry.rule for entry in plan.entries] + [limit.rule for limit in plan.limits]
    if any(rule != NO_RULE and rule >= len(plan.rule_ids) for rule in rules):
        raise PlanError("an entry or a limit names a rule that the plan does not have")
    for limit in plan.limits:
        if not (1 <= limit.max_events <= MAX_EVENTS and 0 < limit.window <= MAX_WINDOW and limit.penalty >= 0):
            raise PlanError(f"{limit} has a count, window or penalty out of range")
    for members in plan.limit_sets:
        if any(i >= len(plan.limits) for i in members):
            raise PlanError("a set of limits names a limit that the plan does not have")
        if len({plan.limits[i].event for i in members}) != len(members):
            raise PlanError("a set of limits has two of one event")
    values = [len(plan.limit_sets) if tier is Tier.LIMITS else len(plan.entries) for tier in Tier]
    if not (1 <= plan.aggregation.ipv4_prefix <= 32 and 1 <= plan.aggregation.ipv6_prefix <= 64):
        raise PlanError("a source is 1 to 32 bits of an IPv4 address and 1 to 64 bits of an IPv6 address")
    custom = range(FIRST_CUSTOM_EVENT, FIRST_CUSTOM_EVENT + len(plan.event_labels))
    events = frozenset({*Event, *custom, *(limit.event for limit in plan.limits)})
    pairs = zip(plan.tables, values, strict=True)
    return Loaded(plan, tuple(PrefixIndex(table, values_below=below) for table, below in pairs), events)
