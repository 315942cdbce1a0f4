# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of one native core: built, put in force, replaced, and freed after their last reader.

A base is in force, and perhaps an overlay (``native/decide.h``). A plan that only appends to the
base in force (``Plan.base``: blocks of the API over rules and feeds) builds the overlay alone.
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

REMEMBERED_PLANS = 1_024  # whose rule ids are kept for answers in flight
MAX_REMEMBERED_NAMES = 65_536  # of all plans but the newest
RETIRE_SECONDS = 1.0  # to wait for readers, which take a microsecond unless preempted
POLL_SECONDS = 0.0002


@dataclass(frozen=True, slots=True, eq=False)
class BuiltPolicy:
    """``struct se_policy`` and its Python part. Owned by ``PolicySlots``."""

    policy: PolicyPointer
    described: PolicyMetadata
    plan: Plan | None  # its source; None: a policy file


@dataclass(frozen=True, slots=True, eq=False)
class PoliciesInForce:
    base: BuiltPolicy
    overlay: BuiltPolicy | None
    rule_ids: Sequence[str]  # of both


class PolicySlots:
    """Not thread-safe: the core's lock is held, except to read ``in_force`` and ``names``."""

    def __init__(self, core: CorePointer, keep_name: Callable[[str], int]) -> None:
        self._core = core
        self._keep_name = keep_name
        self._retired: list[
            tuple[InForcePointer | Null, list[BuiltPolicy]]
        ] = []  # with readers, and the policies to free after them
        self._past_hits: Counter[str] = Counter()  # of freed policies
        self.in_force: PoliciesInForce | None = None
        self.names: dict[int, Sequence[str]] = {}  # rule ids by generation modulo 65536; empty: no plan

    @property
    def waiting(self) -> int:
        """Number of replaced pairs that still have readers."""
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
        """Write the base to a policy file. The overlay is not saved: its source appends it again."""
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
        """Free everything. Requires that the core is closed, so there are no readers."""
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
        self._free_unread(RETIRE_SECONDS)

    def _retire_in_force(self) -> None:
        if self.in_force is not None:
            ended = [built for built in (self.in_force.overlay, self.in_force.base) if built]
            self._retired.append((ffi.NULL, ended))  # the core freed the pair

    def _free_unread(self, timeout: float) -> None:
        """Free retired policies without readers, oldest first, and keep their hit counts."""
        deadline = time.monotonic() + timeout
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
        """Rule ids by generation: of this plan, and of earlier ones for answers in flight."""
        known = {generation: rule_ids}
        names = 0
        for at, (older, ids) in enumerate(self.names.items()):
            names += len(ids)
            if at == REMEMBERED_PLANS or (at and names > MAX_REMEMBERED_NAMES):
                break
            known[older] = ids
        return known


def build_policy(columns: PlanColumns) -> PolicyPointer:
    """Build ``struct se_policy *``. Raises ``PlanError`` that names the table and row, or ``OSError``."""
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
    """True if ``plan`` differs from ``base`` only in what an overlay may append."""
    appended = {"version", "tables", "entries", "rule_ids", "base"}
    same = all(
        getattr(plan, part.name) == getattr(base, part.name) for part in fields(Plan) if part.name not in appended
    )
    tables = zip(Tier, plan.tables, base.tables, strict=False)
    return same and all(tier is Tier.RULES or table is known for tier, table, known in tables)


def cut_overlay(plan: Plan, base: Plan) -> Plan:
    """The part of ``plan`` beyond ``base`` as a plan: RULES rows, entries and rule ids counted from 0."""
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
    """The part of each limit that ``trace`` shows: events, window and rule id."""
    names = plan.rule_ids
    return tuple((n.max_events, n.window, None if n.rule == NO_RULE else names[n.rule]) for n in plan.limits)


def add_hits(hits: Counter[str], built: BuiltPolicy) -> None:
    list_hits(hits, lambda *room: lib.se_policy_hits(built.policy, *room), built.described.rule_ids)


def list_hits(hits: Counter[str], ask: Callable[..., int], names: Sequence[str]) -> None:
    """Add the counts that ``ask(rules, counts, room)`` lists to ``hits``."""
    room = 1024
    while True:
        rules, counts = ffi.new("uint32_t[]", room), ffi.new("uint64_t[]", room)
        found = ask(rules, counts, room)
        if found <= room:
            break
        room = 2 * found
    for at in range(found):
        hits[names[rules[at]]] += counts[at]
