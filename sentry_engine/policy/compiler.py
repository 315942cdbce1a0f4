# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler from a policy to a plan: ids become indices, Unix time the engine's clock, prefixes columns.

In a plan the lower index wins between equal prefixes. ``accept`` wins over ``reject``, so accepting entries come first.
Blocks of the API are appended to a compiled plan, without compiling the rules again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import field

from sentry_engine.addresses import MASKS, V4_OFFSET, is_ipv4
from sentry_engine.cores.plan import Aggregation, Entries, Entry, Limit, LoginPayback, Payback, Plan, PrefixTable, Tier
from sentry_engine.geoip.databases import GeoSnapshot
from sentry_engine.policy.geo_rules import join_geo
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import NOTHING, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.columnar import ColumnarRules, parts_of
from sentry_engine.rules.defaults import BUILTIN_LIMITS, BUILTIN_PAYBACKS
from sentry_engine.rules.model import LimitRule, PrefixRule
from sentry_engine.rules.schedules import Window, is_open
from sentry_engine.verdict import FIRST_CUSTOM_EVENT, MAX_CUSTOM_EVENTS, NO_RULE, Action, Event, Reason


@dataclass(slots=True)
class TableBuilder:
    """A prefix table under construction."""

    networks: bytearray = field(default_factory=bytearray)
    lengths: bytearray = field(default_factory=bytearray)
    values: array[int] = field(default_factory=lambda: array("I"))

    def add(self, prefixes: Prefixes, value: int) -> None:
        self.networks += prefixes.networks
        self.lengths += prefixes.lengths
        if len(prefixes) == 1:
            self.values.append(value)
        else:
            self.values.extend(array("I", (value,)) * len(prefixes))

    def add_rows(self, prefixes: Prefixes, first: int) -> None:
        """Append prefixes with consecutive values from ``first``."""
        self.networks += prefixes.networks
        self.lengths += prefixes.lengths
        self.values.extend(range(first, first + len(prefixes)))

    def freeze(self) -> PrefixTable:
        return PrefixTable(bytes(self.networks), bytes(self.lengths), self.values)


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """The engine's part of a compilation. ``clock_offset`` is Unix time minus the engine's clock, in seconds."""

    wall_now: float = 0.0  # Unix time, by which schedules are evaluated
    clock_offset: float = 0.0
    default: Action = Action.ACCEPT
    never_block: Prefixes = NOTHING
    known_labels: tuple[str, ...] = ()  # of the previous plan; a label keeps its number


def compile_policy(policy: Policy, settings: CompileSettings, *, version: int) -> Plan:
    return _Compiler(policy, settings).compile(version)


def is_login_payback(payback: Payback) -> bool:
    return (payback.event, payback.from_event) == (Event.AUTH_SUCCESS, Event.AUTH_FAILURE)


def make_login_payback(paybacks: Sequence[Payback], limits: Sequence[Limit]) -> LoginPayback | None:
    """The paybacks for failed logins as one. Its window is that of the shortest limit on them."""
    points = sum(payback.points for payback in paybacks if is_login_payback(payback))
    windows = [limit.window for limit in limits if limit.event == Event.AUTH_FAILURE]
    return LoginPayback(points, min(windows)) if points and windows else None


def number_labels(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Custom labels in the order of their numbers. Retired labels stay while there is room, as do their counters."""
    labels = list(known)
    missing = [label for label in wanted if label not in known]
    retired = [index for index, label in enumerate(known) if label not in wanted]
    for label in missing:
        if len(labels) < MAX_CUSTOM_EVENTS:
            labels.append(label)
        else:
            labels[retired.pop()] = label
    return tuple(labels)


class _Compiler:
    def __init__(self, policy: Policy, settings: CompileSettings) -> None:
        self._policy = policy
        self._settings = settings
        self._labels = number_labels(settings.known_labels, policy.event_labels)
        self._columns = {tier: TableBuilder() for tier in Tier}
        self._entries = Entries()
        self._rule_ids: list[str] = []

    def compile(self, version: int) -> Plan:
        policy = self._policy
        if len(self._settings.never_block):
            self._columns[Tier.NEVER_BLOCK].add(self._settings.never_block, 0)
            self._entries.add(Entry(Action.ACCEPT, Reason.NEVER_BLOCK, NO_RULE))
        for action in (Action.ACCEPT, Action.REJECT):
            for part in parts_of(policy.prefix_rules):
                if part.action is not action:
                    continue
                if isinstance(part, ColumnarRules):
                    self._add_columnar_rules(part)
                elif self._holds(part.schedule):
                    self._add_prefix_rule(part)
        for feed in policy.feeds:
            self._columns[Tier.FEEDS].add(policy.feed_lists[feed.id], len(self._entries))
            self._entries.add(Entry(Action.REJECT, Reason.FEED, self._name(feed.id)))
        self._add_geo()
        limits, limit_sets = self._compile_limits()
        paybacks = self._compile_paybacks()
        return Plan(
            version=version,
            tables=tuple(self._columns[tier].freeze() for tier in Tier),
            entries=self._entries,
            rule_ids=tuple(self._rule_ids),
            limits=limits,
            limit_sets=limit_sets,
            paybacks=tuple(payback for payback in paybacks if not is_login_payback(payback)),
            login_payback=make_login_payback(paybacks, limits),
            event_labels=self._labels,
            default=policy.default or self._settings.default,
            on_missing=self._on_missing(),
            aggregation=policy.aggregation or Aggregation(),
        )

    def _holds(self, schedule: tuple[Window, ...]) -> bool:
        return not schedule or is_open(schedule, self._settings.wall_now)

    def _name(self, rule_id: str) -> int:
        self._rule_ids.append(rule_id)
        return len(self._rule_ids) - 1

    def _engine_time(self, unix_time: float | None) -> float | None:
        return None if unix_time is None else unix_time - self._settings.clock_offset

    def _event(self, label: str) -> int:
        if label in self._labels:
            return FIRST_CUSTOM_EVENT + self._labels.index(label)
        return Event[label.upper()]

    def _add_prefix_rule(self, rule: PrefixRule) -> None:
        self._columns[Tier.RULES].add(rule.prefixes, len(self._entries))
        expires_at = self._engine_time(rule.expires_at)
        self._entries.add(Entry(rule.action, Reason.RULE, self._name(rule.id), expires_at))

    def _add_columnar_rules(self, rules: ColumnarRules) -> None:
        self._columns[Tier.RULES].add_rows(rules.prefixes, len(self._entries))
        self._entries.add_rules(rules.action, Reason.RULE, len(self._rule_ids), len(rules))
        self._rule_ids += rules.ids

    def _add_geo(self) -> None:
        names: dict[str, int] = {}
        rules = [rule for rule in self._policy.geo_rules if self._holds(rule.schedule)]
        snapshot = self._policy.geo or GeoSnapshot()
        for rows in join_geo(rules, snapshot, note_known=self._on_missing() is Action.REJECT):
            for selected in rows.entries:
                rule, number = selected.rule, NO_RULE
                if rule is not None:
                    number = names[rule.id] if rule.id in names else names.setdefault(rule.id, self._name(rule.id))
                self._columns[rows.tier].add(rows.prefixes, len(self._entries))
                action = None if rule is None else rule.action
                end = None if rule is None else self._engine_time(rule.expires_at)
                self._entries.add(Entry(action, selected.reason, number, end))

    def _compile_limits(self) -> tuple[tuple[Limit, ...], tuple[tuple[int, ...], ...]]:
        """Limits, and a set of limits per prefix: its own, and those of wider prefixes that it does not replace."""
        builtin = () if self._policy.builtin_limits is False else BUILTIN_LIMITS
        limits: list[Limit] = []
        by_prefix: dict[tuple[int, int, bool], dict[int, int]] = {}
        for rule in (*builtin, *(r for r in self._policy.limit_rules if self._holds(r.schedule))):
            limits.append(self._limit(rule))
            for network, length in rule.prefixes:
                v4 = length >= V4_OFFSET and is_ipv4(network)
                by_prefix.setdefault((int.from_bytes(network), length, v4), {})[limits[-1].event] = len(limits) - 1
        sets: dict[tuple[int, ...], int] = {}
        lengths = sorted({length for _, length, _ in by_prefix})
        for network, length, v4 in by_prefix:
            merged: dict[int, int] = {}
            for wider in (wider for wider in lengths if wider <= length):
                merged |= by_prefix.get((network & MASKS[wider], wider, v4), {})
            members = tuple(sorted(merged.values()))
            row = Prefixes(network.to_bytes(16), bytes((length,)))
            self._columns[Tier.LIMITS].add(row, sets.setdefault(members, len(sets)))
        return tuple(limits), tuple(sets)

    def _limit(self, rule: LimitRule) -> Limit:
        return Limit(
            event=self._event(rule.event),
            rule=self._name(rule.id),
            max_events=rule.max_events,
            window=rule.window,
            penalty=rule.penalty,
            penalty_growth=rule.penalty_growth,
            penalty_max=rule.penalty_max,
            blacklist_threshold=rule.blacklist_threshold,
            blacklist_ttl=rule.blacklist_ttl,
            strike_memory=rule.strike_memory,
        )

    def _compile_paybacks(self) -> tuple[Payback, ...]:
        rules = BUILTIN_PAYBACKS if self._policy.paybacks is None else self._policy.paybacks
        return tuple(Payback(self._event(r.event), self._event(r.from_event), r.points) for r in rules)

    def _on_missing(self) -> Action | None:
        filters = any(r.countries or r.all_countries_but or r.continents for r in self._policy.geo_rules)
        return (self._policy.on_missing or Action.ACCEPT) if filters else None
