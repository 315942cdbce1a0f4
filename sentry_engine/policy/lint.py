# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of a policy: findings that are not errors but deserve attention.

Prefix rules nest, and the most specific one decides. One pass over the sorted prefixes, with a stack of open ones,
finds three faults: equal prefixes (conflicts and duplicates), prefixes with the action of the next wider one, prefixes
that longer ones cover completely.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from itertools import groupby

from sentry_engine.addresses import V4_OFFSET, contains, is_ipv4, render_network
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import Origin
from sentry_engine.records import dataclass
from sentry_engine.rules.model import GeoRule, LimitRule, PrefixRule
from sentry_engine.verdict import Action

MAX_FINDINGS = 100  # of each kind
HALVES = tuple(1 << (128 - length) for length in range(129))  # addresses of a prefix by its length


class FindingKind(StrEnum):
    CONFLICT = "conflict"  # equal prefixes, accept and reject: accept wins
    DUPLICATE = "duplicate"  # equal prefixes, the same action
    REDUNDANT = "redundant"  # the next wider prefix has the same action
    UNREACHABLE = "unreachable"  # longer prefixes cover every address
    EXPIRED = "expired"
    EXEMPT = "exempt"  # a limit on a prefix that a rule accepts or rejects completely
    ONE_FAMILY = "one_family"  # a limit on all of IPv4 without one on IPv6, or the reverse
    NO_DATABASE = "no_database"  # a geo rule or detector without its database
    NOT_FETCHED = "not_fetched"  # a feed that was never downloaded
    FAILED_TEST = "failed_test"


@dataclass(frozen=True, slots=True)
class Finding:
    kind: FindingKind
    rule_id: str
    origin: Origin
    text: str

    def __str__(self) -> str:
        return f"{self.origin.file} {self.origin.pointer}: {self.kind}: {self.text}"


@dataclass(slots=True)
class Open:
    """A prefix on the stack with its rule. ``taken`` counts the addresses covered by longer prefixes."""

    network: bytes
    length: int
    rule: PrefixRule
    taken: int = 0


@dataclass(slots=True)
class Sweep:
    """The state of one pass. ``dead`` counts the prefixes of a rule that never decide."""

    findings: list[Finding] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)
    stack: list[Open] = field(default_factory=list)


def find_policy_issues(policy: Policy, *, wall_now: float | None = None) -> list[Finding]:
    """Findings on ``policy``, at most ``MAX_FINDINGS`` of each kind. ``wall_now`` is Unix time."""
    now = time.time() if wall_now is None else wall_now
    found = [
        *_expired(policy, now),
        *_sweep(policy, now),
        *_exempt_limits(policy, now),
        *_one_family(policy),
        *_no_database(policy),
        *_not_fetched(policy),
        *_blind_detectors(policy),
    ]
    seen: Counter[FindingKind] = Counter()
    kept = []
    for finding in found:
        seen[finding.kind] += 1
        if seen[finding.kind] <= MAX_FINDINGS:
            kept.append(finding)
    return kept


def is_over(rule: PrefixRule | LimitRule | GeoRule, now: float) -> bool:
    return rule.expires_at is not None and now >= rule.expires_at


def _expired(policy: Policy, now: float) -> Iterator[Finding]:
    rules: tuple[PrefixRule | LimitRule | GeoRule, ...]
    rules = (*policy.prefix_rules, *policy.limit_rules, *policy.geo_rules)
    for rule in rules:
        if is_over(rule, now):
            yield Finding(FindingKind.EXPIRED, rule.id, rule.origin, f"{rule.id!r} has expired and matches nothing")


def _sweep(policy: Policy, now: float) -> list[Finding]:
    live = [rule for rule in policy.prefix_rules if not is_over(rule, now)]
    rows = [(network, length, rule) for rule in live for network, length in rule.prefixes]
    sweep = Sweep()
    for family in (True, False):
        mine = sorted((row for row in rows if _is_v4(row) is family), key=lambda row: row[:2])
        for (network, length), group in groupby(mine, key=lambda row: row[:2]):
            while sweep.stack and not _covers(sweep.stack[-1], network, length):
                _close(sweep)
            winner = _settle(sweep, [rule for _, _, rule in group], render_network(network, length))
            _compare_with_wider(sweep, winner, network, length)
            sweep.stack.append(Open(network, length, winner))
        while sweep.stack:
            _close(sweep)
    for rule in live:
        if rule.prefixes and sweep.dead[rule.id] >= len(rule.prefixes):
            text = f"{rule.id!r} never answers: more specific or equal rules answer for all of it"
            sweep.findings.append(Finding(FindingKind.UNREACHABLE, rule.id, rule.origin, text))
    return sweep.findings


def _settle(sweep: Sweep, rules: list[PrefixRule], prefix: str) -> PrefixRule:
    """The deciding rule among those on one prefix; the others are findings."""
    winner = next((rule for rule in rules if rule.action is Action.ACCEPT), rules[0])
    for rule in rules:
        if rule is winner:
            continue
        same = rule.action is winner.action
        kind = FindingKind.DUPLICATE if same else FindingKind.CONFLICT
        outcome = "the same" if same else f"{winner.action}, which wins over {rule.action}"
        text = f"{prefix} is also in {winner.id!r}, which says {outcome}"
        sweep.findings.append(Finding(kind, rule.id, rule.origin, text))
        sweep.dead[rule.id] += 1
    return winner


def _compare_with_wider(sweep: Sweep, rule: PrefixRule, network: bytes, length: int) -> None:
    if not sweep.stack:
        return
    wider = sweep.stack[-1]
    wider.taken += HALVES[length]
    lasts = wider.rule.expires_at is None or (rule.expires_at or float("inf")) <= wider.rule.expires_at
    if wider.rule.action is rule.action and lasts:
        outer, inner = render_network(wider.network, wider.length), render_network(network, length)
        text = f"{inner} lies in {outer} of {wider.rule.id!r}, which says {rule.action} already"
        sweep.findings.append(Finding(FindingKind.REDUNDANT, rule.id, rule.origin, text))


def _close(sweep: Sweep) -> None:
    closed = sweep.stack.pop()
    if closed.taken >= HALVES[closed.length]:
        sweep.dead[closed.rule.id] += 1


def _exempt_limits(policy: Policy, now: float) -> Iterator[Finding]:
    wide = [(network, length, rule) for rule in policy.prefix_rules for network, length in rule.prefixes]
    rules = [row for row in wide if not is_over(row[2], now)]
    for limit in policy.limit_rules:
        for network, length in limit.prefixes:
            outer = next((r for n, m, r in rules if m <= length and contains(n, m, network)), None)
            if outer is not None:
                prefix = render_network(network, length)
                text = f"{prefix} is never counted: {outer.id!r} says {outer.action} for all of it"
                yield Finding(FindingKind.EXEMPT, limit.id, limit.origin, text)


def _one_family(policy: Policy) -> Iterator[Finding]:
    whole: dict[str, dict[bool, LimitRule]] = {}
    for limit in policy.limit_rules:
        for network, length in limit.prefixes:
            if length in (0, V4_OFFSET):
                whole.setdefault(limit.event, {})[length == V4_OFFSET and is_ipv4(network)] = limit
    for event, families in whole.items():
        if len(families) == 1:
            ((v4, limit),) = families.items()
            here, there = ("IPv4", "::/0") if v4 else ("IPv6", "0.0.0.0/0")
            text = f"{limit.id!r} limits {event} for all of {here} only: add {there}, or the built-in limit holds"
            yield Finding(FindingKind.ONE_FAMILY, limit.id, limit.origin, text)


def _no_database(policy: Policy) -> Iterator[Finding]:
    known = {name for name in policy.databases() if policy.geo is not None and getattr(policy.geo, name) is not None}
    for rule in policy.geo_rules:
        needs = "asn" if rule.asns else "anonymous" if rule.anonymizers else "country"
        if needs not in known:
            text = f"{rule.id!r} matches nothing: there is no {needs} database"
            yield Finding(FindingKind.NO_DATABASE, rule.id, rule.origin, text)


def _not_fetched(policy: Policy) -> Iterator[Finding]:
    for feed in policy.feeds:
        if feed.id in policy.unfetched:
            text = f"the list of {feed.id!r} was never downloaded: the server downloads it at its start, or at once"
            yield Finding(FindingKind.NOT_FETCHED, feed.id, feed.origin, text)


def _blind_detectors(policy: Policy) -> Iterator[Finding]:
    """Detectors that a file enables without the database they need."""
    stated, places = policy.detectors.stated if policy.detectors else frozenset(), policy.geo_lookup
    origin = Origin(policy.files[0] if len(policy.files) == 1 else "", "/wolfsentry/detectors")
    if "new_country" in stated and not (places and places.knows("country")):
        text = "'new_country' never speaks: there is no country database"
        yield Finding(FindingKind.NO_DATABASE, "new_country", origin, text)
    if "impossible_travel" in stated and not (places and places.has_coordinates()):
        text = "'impossible_travel' never speaks: there is no database with coordinates (City) in the country's place"
        yield Finding(FindingKind.NO_DATABASE, "impossible_travel", origin, text)


def _is_v4(row: tuple[bytes, int, PrefixRule]) -> bool:
    return row[1] >= V4_OFFSET and is_ipv4(row[0])


def _covers(outer: Open, network: bytes, length: int) -> bool:
    return outer.length <= length and contains(outer.network, outer.length, network)
