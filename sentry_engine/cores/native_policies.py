# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of one native core: built, put in force, replaced, and freed when their last reader has left.

What is in force is a base and perhaps an overlay (``native/policy.h``). A plan that only appends to a base that is in
force already (``Plan.base``: blocks of the API over the rules and feeds) builds the overlay alone.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sentry_engine.cores.native_columns import PlanColumns, write_columns
from sentry_engine.cores.native_library import ffi, lib
from sentry_engine.cores.native_types import CorePointer, InForcePointer, Null, PolicyPointer
from sentry_engine.cores.plan import Plan, PlanError, PrefixTable, Tier
from sentry_engine.cores.policy_file import PolicyMetadata, read_policy_file, write_policy_file
from sentry_engine.verdict import NO_RULE

REMEMBERED_PLANS = 1_024  # whose rule ids are kept for answers on their way: at least one, more if they are few
MAX_REMEMBERED_NAMES = 65_536  # of all but the first of them
RETIRE_SECONDS = 1.0  # a reader is gone within a microsecond, unless it was preempted
POLL_SECONDS = 0.0002


@dataclass(frozen=True, slots=True, eq=False)
class BuiltPolicy:
    """``struct se_policy`` and what Python keeps of it."""

    policy: PolicyPointer
    described: PolicyMetadata
    plan: Plan | None  # that it was built of; None: read from a file


@dataclass(frozen=True, slots=True, eq=False)
class PoliciesInForce:
    base: BuiltPolicy
    overlay: BuiltPolicy | None
    rule_ids: Sequence[str]  # of both


class PolicySlots:
    """Not thread-safe: the core takes its lock around every call, but for reading ``in_force`` and ``names``."""

    def __init__(self, core: CorePointer, keep_name: Callable[[str], int]) -> None:
        self._core = core
        self._keep_name = keep_name
        self._retired: list[tuple[InForcePointer | Null, list[BuiltPolicy]]] = []  # still read, and what they free
        self._past_hits: Counter[str] = Counter()  # of policies that are gone
        self.in_force: PoliciesInForce | None = None
        self.names: dict[int, Sequence[str]] = {}  # rule ids by generation modulo 65536; empty: no plan

    @property
    def waiting(self) -> int:
        """Replaced pairs that a reader was still seen on."""
        return len(self._retired)

    def publish(self, plan: Plan) -> None:
        appended = plan.base is not None and continues(plan, plan.base)
        wanted, now = (plan.base if appended else None) or plan, self.in_force
        reused = now.base if now is not None and now.base.plan is wanted else None
        base = reused or self._build(wanted)
        try:
            overlay = self._build(cut_overlay(plan, wanted)) if appended else None
            self._install(PoliciesInForce(base, overlay, plan.rule_ids))
        except BaseException:
            if reused is None:
                lib.se_policy_free(base.policy)
            raise

    def load(self, path: Path) -> None:
        policy, described = read_policy_file(path)
        for at, (_, _, rule_id) in enumerate(described.limits):
            lib.se_policy_keep_rule(policy, at, NO_RULE if rule_id is None else self._keep_name(rule_id))
        self._install(PoliciesInForce(BuiltPolicy(policy, described, None), None, described.rule_ids))

    def save(self, path: Path) -> None:
        """Write the base; an overlay comes from elsewhere and is put over it again."""
        if self.in_force is None:
            raise RuntimeError("the core has no plan to save: publish one first")
        write_policy_file(self.in_force.base.policy, self.in_force.base.described, path)

    def hits(self) -> Counter[str]:
        hits = Counter(self._past_hits)
        live = [self.in_force.base, self.in_force.overlay] if self.in_force else []
        for built in [*live, *(built for _, ended in self._retired for built in ended)]:
            if built is not None:
                add_hits(hits, built)
        return hits

    def close(self) -> None:
        """After the core: nobody reads any more."""
        self._retire_in_force()
        for pair, ended in self._retired:
            if pair != ffi.NULL:
                lib.se_in_force_free(pair)
            for built in ended:
                lib.se_policy_free(built.policy)
        self._retired = []
        self.in_force = None
        self.names = {}

    def _build(self, plan: Plan) -> BuiltPolicy:
        policy = build_policy(write_columns(plan, self._keep_name))
        return BuiltPolicy(policy, PolicyMetadata(plan.rule_ids, describe_limits(plan)), plan)

    def _install(self, new: PoliciesInForce) -> None:
        generation = (lib.se_core_generation(self._core) + 1) & 0xFFFF
        self.names = self._remember_names(generation, new.rule_ids)
        before, old = ffi.new("struct se_in_force **"), self.in_force
        code = lib.se_core_install(self._core, new.base.policy, new.overlay.policy if new.overlay else ffi.NULL, before)
        if code:
            raise OSError(-code, os.strerror(-code))
        self.in_force = new
        if old is not None:
            ended = [old.overlay] if old.overlay else []
            if old.base is not new.base:
                ended.append(old.base)
            self._retired.append((before[0], ended))
        self._collect(RETIRE_SECONDS)

    def _retire_in_force(self) -> None:
        if self.in_force is not None:
            ended = [built for built in (self.in_force.overlay, self.in_force.base) if built]
            self._retired.append((ffi.NULL, ended))  # the core freed the pair itself

    def _collect(self, patience: float) -> None:
        """Free what nobody reads any more, oldest first, and keep what its rules counted."""
        deadline = time.monotonic() + patience
        while self._retired:
            pair, ended = self._retired[0]
            if lib.se_in_force_is_unread(pair):
                for built in ended:
                    add_hits(self._past_hits, built)
                    lib.se_policy_free(built.policy)
                lib.se_in_force_free(pair)
                del self._retired[0]
            elif time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            else:
                return

    def _remember_names(self, generation: int, rule_ids: Sequence[str]) -> dict[int, Sequence[str]]:
        """Rule ids of this and of a few plans before it, for threads that have an answer of theirs in hand."""
        known = {generation: rule_ids}
        names = 0
        for at, (older, ids) in enumerate(self.names.items()):
            names += len(ids)
            if at == REMEMBERED_PLANS or (at and names > MAX_REMEMBERED_NAMES):
                break
            known[older] = ids
        return known


def build_policy(columns: PlanColumns) -> PolicyPointer:
    """``struct se_policy *`` of a plan's columns, or ``PlanError`` that says which row of which table is wrong."""
    policy, fault = ffi.new("struct se_policy **"), ffi.new("struct se_fault *")
    code = lib.se_policy_build(columns.plan, policy, fault)
    if not code:
        return policy[0]
    if fault.what == ffi.NULL:
        raise OSError(-code, "the policy could not be built")
    what = ffi.string(fault.what).decode()
    place = f"row {fault.row} of {Tier(fault.tier).name}" if fault.tier < len(Tier) else f"number {fault.row}"
    raise PlanError(f"{place}: {what}")


def continues(plan: Plan, base: Plan) -> bool:
    """Whether ``plan`` differs from ``base`` in what may be appended and nothing else; if not, it is built whole."""
    appended = {"version", "tables", "entries", "rule_ids", "base"}
    same = all(
        getattr(plan, part.name) == getattr(base, part.name) for part in fields(Plan) if part.name not in appended
    )
    tables = zip(Tier, plan.tables, base.tables, strict=False)
    return same and all(tier is Tier.RULES or table is known for tier, table, known in tables)


def cut_overlay(plan: Plan, base: Plan) -> Plan:
    """What ``plan`` appends to ``base`` as a plan of its own: RULES rows, entries and rule ids counted from 0."""
    whole, known = plan.tables[Tier.RULES], len(base.tables[Tier.RULES])
    first_entry, first_rule = len(base.entries), len(base.rule_ids)
    if len(whole) < known or len(plan.entries) < first_entry or len(plan.rule_ids) < first_rule:
        raise PlanError("a plan is shorter than the base that it says it appends to")
    values = array("I", [value - first_entry for value in whole.values[known:] if value >= first_entry])
    rules = PrefixTable(whole.networks[16 * known :], whole.lengths[known:], values)
    entries = tuple(
        replace(entry, rule=entry.rule if entry.rule == NO_RULE else entry.rule - first_rule)
        for entry in plan.entries[first_entry:]
    )
    if len(values) != len(rules) or any(entry.rule < 0 for entry in entries):
        raise PlanError("a plan appends rows that use an entry or a rule of its base")
    tables = tuple(rules if tier is Tier.RULES else PrefixTable() for tier in Tier)
    return Plan(plan.version, tables, entries, plan.rule_ids[first_rule:], (), ())


def describe_limits(plan: Plan) -> tuple[tuple[int, float, str | None], ...]:
    """Of each limit what ``trace`` shows."""
    names = plan.rule_ids
    return tuple((n.max_events, n.window, None if n.rule == NO_RULE else names[n.rule]) for n in plan.limits)


def add_hits(hits: Counter[str], built: BuiltPolicy) -> None:
    list_hits(hits, lambda *room: lib.se_policy_hits(built.policy, *room), built.described.rule_ids)


def list_hits(hits: Counter[str], ask: Callable[..., int], names: Sequence[str]) -> None:
    """Add what ``ask(rules, counts, room)`` lists to ``hits``."""
    room = 1024
    while True:
        rules, counts = ffi.new("uint32_t[]", room), ffi.new("uint64_t[]", room)
        found = ask(rules, counts, room)
        if found <= room:
            break
        room = 2 * found
    for at in range(found):
        hits[names[rules[at]]] += counts[at]
