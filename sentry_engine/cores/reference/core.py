# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference core in plain Python: the specification of ``interface.Core`` and the oracle for the native core.

A decision is a walk over a list of tiers. Each tier checks one request and returns a result; the first result with a
verdict decides. ``decide`` stops there and counts. ``trace`` checks every tier and counts nothing. Both run the same
functions. The server never runs on this core: it holds one lock, and costs a hundred times as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock

from sentry_engine.addresses import mask, render_network
from sentry_engine.cores.bulk import BulkDecisions
from sentry_engine.cores.interface import (
    BlockedNetwork,
    Burst,
    ChangesUnknownError,
    CoreCounters,
    KnownNetworks,
    Penalty,
    Request,
    SourceState,
    Step,
    Strikes,
)
from sentry_engine.cores.nanoseconds import bound, reached, until
from sentry_engine.cores.plan import MAX_LIMIT_EVENTS, Entry, Limit, Plan, PlanError, Tier, find_source
from sentry_engine.cores.reference.blocks import BlockIndex
from sentry_engine.cores.reference.known_networks import list_known, read_networks
from sentry_engine.cores.reference.penalties import PenaltyBox
from sentry_engine.cores.reference.prefixes import PrefixIndex
from sentry_engine.cores.reference.windows import (
    MAX_SOURCES,
    SlidingWindows,
    StrikePreview,
    UnverifiedRates,
)
from sentry_engine.records import dataclass
from sentry_engine.verdict import FIRST_CUSTOM_EVENT, NO_RULE, Action, Event, Reason, Verdict

MAX_WINDOW = 10 * 365 * 86_400  # seconds
GEO_TIERS = (Tier.COUNTRY, Tier.ASN, Tier.ANONYMIZER)  # where only a refusal decides


@dataclass(frozen=True, slots=True)
class TierResult:
    """The outcome of one tier: the step for ``trace``, and the verdict if the tier decides."""

    step: Step
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class IndexedPlan:
    """A plan with its indices. Replaced as one, so a request sees one policy in all tiers."""

    plan: Plan
    indices: tuple[PrefixIndex, ...]
    events: frozenset[int]  # the event numbers that requests may use


class ReferenceCore(BulkDecisions):
    """``interface.Core`` under one lock."""

    def __init__(self, *, max_sources: int = MAX_SOURCES) -> None:
        self._lock = Lock()
        self._indexed: IndexedPlan | None = None
        self._windows = SlidingWindows(max_sources)
        self._unverified = UnverifiedRates()
        self._box = PenaltyBox()
        self._blocks = BlockIndex()
        self._hits: Counter[str] = Counter()
        self._decisions = 0
        self._verdicts: Counter[tuple[Action, Reason]] = Counter()

    def publish(self, plan: Plan) -> None:
        indexed = index_plan(plan)
        with self._lock:
            self._indexed = indexed

    def put_blocks(self, blocks: Sequence[BlockedNetwork]) -> None:
        with self._lock:
            self._blocks.put(blocks)
            for block in blocks:
                self._hits.pop(block.rule_id, None)

    def remove_blocks(self, rule_ids: Iterable[str]) -> None:
        with self._lock:
            for rule_id in rule_ids:
                self._blocks.remove([rule_id])
                self._hits.pop(rule_id, None)

    def find_block(self, address: bytes, now: float) -> str | None:
        with self._lock:
            block = self._blocks.find(address, now)
            return None if block is None else block.rule_id

    def decide(self, request: Request) -> Verdict:
        with self._lock:
            results = map(self._tier_check(request, count=True), self._tiers(request))
            verdict = next(result.verdict for result in results if result.verdict)
            self._decisions += 1
            self._verdicts[verdict.action, verdict.reason] += 1
            if verdict.rule_id is not None:
                self._hits[verdict.rule_id] += 1
            return verdict

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        with self._lock:
            results = [self._tier_check(request, count=False)(tier) for tier in self._tiers(request)]
        deciding = next(i for i, result in enumerate(results) if result.verdict)
        steps = [replace(result.step, decisive=i == deciding) for i, result in enumerate(results)]
        verdict = results[deciding].verdict
        assert verdict is not None  # noqa: S101  # the default tier always has one
        return verdict, steps

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None:
        with self._lock:
            self._box.put(Penalty(mask(network, length), length, until, 1, reason, rule_id))

    def pay_back(self, address: bytes, event: int, points: int) -> None:
        with self._lock:
            if self._indexed is not None:
                self._windows.pay_back(find_source(self._indexed.plan, address), event, points)

    def clear_penalties(self, network: bytes, length: int, now: float) -> int:
        with self._lock:
            self._windows.forget((network, length))
            return self._box.clear(network, length, now)

    def penalties(self, now: float) -> list[Penalty]:
        with self._lock:
            return self._box.in_force(now)

    def strikes(self, now: float) -> list[Strikes]:
        with self._lock:
            return self._windows.strikes(now)

    def restore_strikes(self, strikes: Strikes, now: float) -> None:
        with self._lock:
            if not reached(now, strikes.until):
                self._windows.restore_strikes(strikes)
                self._box.recount(strikes)

    def bursts(self, now: float) -> list[Burst]:
        with self._lock:
            return [burst for burst in self._windows.bursts() if self._still_counts(burst, now)]

    def restore_burst(self, burst: Burst, now: float) -> None:
        with self._lock:
            if self._still_counts(burst, now):
                self._windows.restore_burst(burst, now)

    def take_changes(self, now: float, most: int) -> list[tuple[bytes, int]]:  # noqa: ARG002 - it notes none
        raise ChangesUnknownError("unsupported")

    def list_known(self, now: float, most: int) -> KnownNetworks:
        return list_known(self, now, most)

    def read_networks(self, networks: Iterable[tuple[bytes, int]], clock: Callable[[], float]) -> Iterator[SourceState]:
        return read_networks(self, networks, clock)

    def _still_counts(self, burst: Burst, now: float) -> bool:
        limit = find_limit(self._indexed, burst.network, burst.event) if self._indexed else None
        return limit is not None and not reached(now, burst.last + limit.window)

    def rule_hits(self) -> dict[str, int]:
        with self._lock:
            return dict(self._hits)

    def counters(self) -> CoreCounters:
        with self._lock:
            windows = self._windows
            verdicts = dict(self._verdicts)
            return CoreCounters(self._decisions, len(windows), len(self._box), windows.evicted, verdicts)

    def close(self) -> None:
        with self._lock:
            self._indexed = None

    def _tiers(self, request: Request) -> tuple[TierCheck, ...]:
        known = self._indexed is None or request.event in self._indexed.events
        return TIERS if known else (Walk.check_unknown_event,)

    def _tier_check(self, request: Request, *, count: bool) -> Callable[[TierCheck], TierResult]:
        if self._indexed is None:
            raise RuntimeError("the core has no plan: publish one first, and ask nothing after close")
        walk = Walk(self._indexed, request, self._blocks, self._windows, self._unverified, self._box, count)
        return lambda tier: tier(walk)


@dataclass(frozen=True, slots=True)
class Walk:
    """One request on its way through the tiers."""

    indexed: IndexedPlan
    request: Request
    blocks: BlockIndex
    windows: SlidingWindows
    unverified: UnverifiedRates
    box: PenaltyBox
    count: bool

    def check_table(self, tier: Tier) -> TierResult:
        """The most specific live entry of one prefix table decides, unless it only informs."""
        found = self._find(tier)
        if found is None:
            return TierResult(Step(tier.name.lower(), None, None, None, None, decisive=False))
        length, entry = found
        rule_id = name_rule(self.indexed.plan, entry.rule)
        decides = entry.action is Action.REJECT or (entry.action is not None and tier not in GEO_TIERS)
        verdict = Verdict(entry.action, entry.reason, rule_id) if decides and entry.action else None
        return TierResult(self._matched(tier, length, entry.action, entry.reason, rule_id), verdict)

    def _find(self, tier: Tier) -> tuple[int, Entry] | None:
        """The most specific live entry of one prefix table, with its prefix length."""
        for length, value in self.indexed.indices[tier].matches(self.request.address):
            entry = self.indexed.plan.entries[value]
            if entry.expires_at is None or not reached(self.request.now, entry.expires_at):
                return length, entry
        return None

    def _matched(self, tier: Tier, length: int, action: Action | None, reason: Reason, rule_id: str | None) -> Step:
        matched = render_network(mask(self.request.address, length), length)
        return Step(tier.name.lower(), matched, rule_id, action, reason, decisive=False)

    def check_unknown_event(self) -> TierResult:
        """Reject an event number without a label: the limits that apply to it are unknown."""
        step = Step("event", None, None, Action.REJECT, Reason.INVALID_REQUEST, decisive=False)
        return TierResult(step, Verdict(Action.REJECT, Reason.INVALID_REQUEST))

    def check_never_block(self) -> TierResult:
        return self.check_table(Tier.NEVER_BLOCK)

    def check_rules(self) -> TierResult:
        """A block decides if no rule is at least as specific."""
        found, block = self._find(Tier.RULES), self.blocks.find(self.request.address, self.request.now)
        if block is None or (found is not None and found[0] >= block.length):
            return self.check_table(Tier.RULES)
        step = self._matched(Tier.RULES, block.length, Action.REJECT, Reason.RULE, block.rule_id)
        return TierResult(step, Verdict(Action.REJECT, Reason.RULE, block.rule_id))

    def check_penalties(self) -> TierResult:
        penalty = self.box.find(self.request.address, self.request.now)
        if penalty is None:
            return TierResult(Step("penalty", None, None, None, None, decisive=False))
        action = Action.RATE_LIMITED if penalty.reason is Reason.PENALTY else Action.REJECT
        matched = render_network(penalty.network, penalty.length)
        verdict = Verdict(action, penalty.reason, penalty.rule_id, until(self.request.now, penalty.until))
        return TierResult(Step("penalty", matched, penalty.rule_id, action, penalty.reason, decisive=False), verdict)

    def check_feeds(self) -> TierResult:
        return self.check_table(Tier.FEEDS)

    def check_country(self) -> TierResult:
        result = self.check_table(Tier.COUNTRY)
        on_missing = self.indexed.plan.on_missing
        if result.step.matched is not None or on_missing is None:
            return result
        step = replace(result.step, action=on_missing, reason=Reason.GEOIP_MISSING)
        refuses = on_missing is not Action.ACCEPT
        return TierResult(step, Verdict(on_missing, Reason.GEOIP_MISSING) if refuses else None)

    def check_asn(self) -> TierResult:
        return self.check_table(Tier.ASN)

    def check_anonymizer(self) -> TierResult:
        return self.check_table(Tier.ANONYMIZER)

    def check_limits(self) -> TierResult:
        """Count the event of a request that no earlier tier decided. An event over the limit starts a penalty."""
        limit = find_limit(self.indexed, self.request.address, self.request.event)
        if limit is None:
            self._pay_back()
            return TierResult(Step("limits", None, None, None, None, decisive=False))
        plan, request = self.indexed.plan, self.request
        source, rule_id = find_source(plan, request.address), name_rule(plan, limit.rule)
        counts = self.windows if request.verified else self.unverified
        wait = counts.wait(source, limit, request.now)
        matched = f"{limit.max_events} in {limit.window:g} s by {render_network(*source)}"
        if wait is not None:
            verdict = self._refuse(source, limit, rule_id, wait)
            return TierResult(Step("limits", matched, rule_id, verdict.action, verdict.reason, decisive=False), verdict)
        if self.count:
            counts.count(source, limit, request.now)
        self._pay_back()
        step = Step("limits", matched, rule_id, Action.ACCEPT, Reason.WITHIN_LIMIT, decisive=False)
        return TierResult(step)

    def check_default(self) -> TierResult:
        plan = self.indexed.plan
        verdict = Verdict(plan.default, Reason.DEFAULT)
        limit = find_limit(self.indexed, self.request.address, self.request.event)
        if verdict.accepted and limit is not None:
            verdict = Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT, name_rule(plan, limit.rule))
        step = Step("default", None, verdict.rule_id, verdict.action, verdict.reason, decisive=False)
        return TierResult(step, verdict)

    def _refuse(self, source: tuple[bytes, int], limit: Limit, rule_id: str | None, wait: float) -> Verdict:
        if not self.request.verified or limit.penalty == 0:
            if self.count and not self.request.verified:
                self.unverified.refuse(source, limit, self.request.now)
            return Verdict(Action.RATE_LIMITED, Reason.RATE_LIMIT, rule_id, wait)
        strike = self.windows.preview_strike(source, limit, self.request.now)
        if self.count:
            self._apply_penalty(source, limit, strike, rule_id)
        if strike.blacklisted:
            return Verdict(Action.REJECT, Reason.BLACKLISTED, rule_id, strike.seconds)
        return Verdict(Action.RATE_LIMITED, Reason.RATE_LIMIT, rule_id, strike.seconds)

    def _apply_penalty(
        self, source: tuple[bytes, int], limit: Limit, strike: StrikePreview, rule_id: str | None
    ) -> None:
        now = self.request.now
        self.windows.strike(source, limit, strike, now)
        reason = Reason.BLACKLISTED if strike.blacklisted else Reason.PENALTY
        penalty = Penalty(*source, bound(max(now, 0.0) + strike.seconds), strike.number, reason, rule_id)
        self.box.put(penalty)
        self.box.escalate(penalty, now, self.indexed.plan.aggregation.escalate_after)

    def _pay_back(self) -> None:
        if not self.count or not self.request.verified:
            return
        source = find_source(self.indexed.plan, self.request.address)
        for payback in self.indexed.plan.paybacks:
            if payback.event == self.request.event:
                self.windows.pay_back(source, payback.from_event, payback.points)


TierCheck = Callable[[Walk], TierResult]
TIERS: tuple[TierCheck, ...] = (
    Walk.check_never_block,
    Walk.check_rules,
    Walk.check_penalties,
    Walk.check_feeds,
    Walk.check_country,
    Walk.check_asn,
    Walk.check_anonymizer,
    Walk.check_limits,
    Walk.check_default,
)


def find_limit(indexed: IndexedPlan, address: bytes, event: int) -> Limit | None:
    """The limit on this event in the most specific ``LIMITS`` row."""
    plan = indexed.plan
    for _, value in indexed.indices[Tier.LIMITS].matches(address):
        limits = (plan.limits[i] for i in plan.limit_sets[value])
        return next((limit for limit in limits if limit.event == event), None)
    return None


def name_rule(plan: Plan, rule: int) -> str | None:
    return None if rule == NO_RULE else plan.rule_ids[rule]


def index_plan(plan: Plan) -> IndexedPlan:
    """Index a plan. Raises ``PlanError`` for columns that do not fit together."""
    if len(plan.tables) != len(Tier):
        raise PlanError(f"a plan has {len(Tier)} tables, not {len(plan.tables)}")
    rules = [entry.rule for entry in plan.entries] + [limit.rule for limit in plan.limits]
    if any(rule != NO_RULE and rule >= len(plan.rule_ids) for rule in rules):
        raise PlanError("an entry or a limit names a rule that the plan does not have")
    for limit in plan.limits:
        if not (1 <= limit.max_events <= MAX_LIMIT_EVENTS and 0 < limit.window <= MAX_WINDOW and limit.penalty >= 0):
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
    return IndexedPlan(plan, tuple(PrefixIndex(table, values_below=below) for table, below in pairs), events)
