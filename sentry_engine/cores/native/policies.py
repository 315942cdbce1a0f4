# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of one native core: built, put in force, replaced, and freed after their last reader."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from sentry_engine.cores.native.columns import PlanColumns, write_columns
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import CorePointer, InForcePointer, Null, PolicyPointer
from sentry_engine.cores.packed_names import PackedNames
from sentry_engine.cores.plan import Plan, PlanError, Tier
from sentry_engine.cores.policy_file import PolicyMetadata, read_policy_file, write_policy_file
from sentry_engine.records import dataclass
from sentry_engine.verdict import NO_RULE

REMEMBERED_PLANS = 1_024  # whose rule ids are kept for answers in flight
MAX_REMEMBERED_NAMES = 65_536  # of all plans but the newest two
MAX_PLAIN_NAMES = 4_096  # of a replaced plan; more are packed
RETIRE_SECONDS = 1.0  # to wait for readers, which take a microsecond unless preempted
POLL_SECONDS = 0.0002


@dataclass(frozen=True, slots=True, eq=False)
class BuiltPolicy:
    """``struct se_policy`` and its Python part. Owned by ``PolicySlots``."""

    policy: PolicyPointer
    described: PolicyMetadata


class PolicySlots:
    """Not thread-safe: the core's lock is held, except to read ``in_force`` and ``names``."""

    def __init__(self, core: CorePointer, keep_name: Callable[[str], int]) -> None:
        self._core = core
        self._keep_name = keep_name
        self._retired: list[
            tuple[InForcePointer | Null, BuiltPolicy]
        ] = []  # with readers, each with the policy to free after them
        self._past_hits: Counter[str] = Counter()  # of freed policies
        self._late_hits: deque[str] = deque()  # the rules of replaced policies; at most one for each replacement
        self.in_force: BuiltPolicy | None = None
        self.names: dict[int, Sequence[str]] = {}  # rule ids by generation modulo 65536; empty: no plan

    @property
    def latest_names(self) -> tuple[int, Sequence[str]]:
        """Generation modulo 65536 and rule ids of the policy in force. Requires one."""
        return next(iter(self.names.items()))

    @property
    def waiting(self) -> int:
        """Number of replaced policies that still have readers."""
        return len(self._retired)

    def publish(self, plan: Plan) -> None:
        policy = build_policy(write_columns(plan, self._keep_name))
        try:
            self._install(BuiltPolicy(policy, PolicyMetadata(plan.rule_ids, describe_limits(plan))))
        except BaseException:
            lib.se_policy_free(policy)
            raise

    def load(self, path: Path) -> None:
        policy, described = read_policy_file(path)
        for at, (_, _, rule_id) in enumerate(described.limits):
            lib.se_policy_keep_rule(policy, at, NO_RULE if rule_id is None else self._keep_name(rule_id))
        self._install(BuiltPolicy(policy, described))

    def save(self, path: Path) -> None:
        """Write the policy in force to a policy file."""
        if self.in_force is None:
            raise RuntimeError("the core has no plan to save: publish one first")
        write_policy_file(self.in_force.policy, self.in_force.described, path)

    def add_late_hit(self, generation: int, rule: int) -> None:
        """Count one hit of a policy that was replaced. Takes no lock: any thread may call it at any time."""
        names = self.names.get(generation & 0xFFFF)
        if names is not None:
            self._late_hits.append(names[rule])

    def hits(self) -> Counter[str]:
        self._take_late_hits()
        hits = Counter(self._past_hits)
        live = [self.in_force] if self.in_force else []
        for built in [*live, *(ended for _, ended in self._retired)]:
            add_hits(hits, built)
        return hits

    def close(self) -> None:
        """Free everything. Requires that the core is closed, so there are no readers."""
        self._retire_in_force()
        for record, ended in self._retired:
            if record != ffi.NULL:
                lib.se_in_force_free(record)
            lib.se_policy_free(ended.policy)
        self._retired = []
        self.in_force = None
        self.names = {}

    def _install(self, new: BuiltPolicy) -> None:
        generation = (lib.se_core_generation(self._core) + 1) & 0xFFFF
        self.names = self._remember_names(generation, new.described.rule_ids)
        before, old = ffi.new("struct se_in_force **"), self.in_force
        code = lib.se_core_install(self._core, new.policy, before)
        if code:
            raise OSError(-code, os.strerror(-code))
        self.in_force = new
        if old is not None:
            self._retired.append((before[0], old))
            lib.se_core_compare_policies(self._core, old.policy, new.policy)
        self._take_late_hits()
        self._free_unread(RETIRE_SECONDS)

    def _take_late_hits(self) -> None:
        while self._late_hits:
            self._past_hits[self._late_hits.popleft()] += 1

    def _retire_in_force(self) -> None:
        if self.in_force is not None:
            self._retired.append((ffi.NULL, self.in_force))  # the core freed the record

    def _free_unread(self, timeout: float) -> None:
        """Free retired policies without readers, oldest first, and keep their hit counts."""
        deadline = time.monotonic() + timeout
        while self._retired:
            record, ended = self._retired[0]
            if lib.se_in_force_is_unread(record):
                add_hits(self._past_hits, ended)
                lib.se_policy_free(ended.policy)
                lib.se_in_force_free(record)
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
            known[older] = PackedNames(ids) if len(ids) > MAX_PLAIN_NAMES and not isinstance(ids, PackedNames) else ids
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
