# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of a plan to the C columns that the native core reads, without an object per row."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Literal

from sentry_engine.cores.nanoseconds import MAX_SECONDS, read_clock
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import Array, LimitRow, PlanStruct, TableColumns
from sentry_engine.cores.plan import NEVER, Entries, Entry, Limit, Plan, PlanError, PrefixTable, Tier
from sentry_engine.records import dataclass
from sentry_engine.verdict import ACTIONS, FIRST_CUSTOM_EVENT, NO_RULE, REASONS

Kind = Literal["uint8_t[]", "uint32_t[]", "uint64_t[]"]

# Keyed by identity: hashing an enum member runs Python code, which is too slow for a million rows.
ACTION_CODES = {id(action): code for code, action in enumerate(ACTIONS)}
REASON_CODES = {id(reason): code for code, reason in enumerate(REASONS)}


@dataclass(slots=True)
class PlanColumns:
    """The C structure, and the buffers that must stay alive while C reads it."""

    plan: PlanStruct
    alive: list[object] = field(default_factory=list)


def nanoseconds(seconds: float | None) -> int:
    """Whole nanoseconds. ``None`` and times beyond 292 years become ``SE_FOREVER``."""
    return lib.SE_FOREVER if seconds is None or not seconds < MAX_SECONDS else read_clock(seconds)


def write_columns(plan: Plan, keep_name: Callable[[str], int]) -> PlanColumns:
    """Fill ``struct se_plan_columns``. Raises ``PlanError``.

    ``keep_name`` numbers the rule ids that outlive their plan in penalties.
    """
    if len(plan.tables) != len(Tier):
        raise PlanError(f"a plan has {len(Tier)} tables, not {len(plan.tables)}")
    columns = PlanColumns(ffi.new("struct se_plan_columns *"))
    target = columns.plan
    target.version = plan.version
    for tier in Tier:
        _write_table(columns, target.tables[tier], plan.tables[tier])
    _write_entries(columns, plan.entries)
    _write_limits(columns, plan, keep_name)
    _write_sets(columns, plan)
    target.rule_count = len(plan.rule_ids)
    target.default_action = ACTION_CODES[id(plan.default)]
    target.on_missing = lib.SE_NO_ACTION if plan.on_missing is None else ACTION_CODES[id(plan.on_missing)]
    target.ipv4_prefix = _byte(plan.aggregation.ipv4_prefix)
    target.ipv6_prefix = _byte(plan.aggregation.ipv6_prefix)
    target.escalate_after = min(max(plan.aggregation.escalate_after, 0), 0xFFFF_FFFF)
    return columns


def count_events(plan: Plan) -> int:
    """One more than the highest event number in use."""
    named = [limit.event for limit in plan.limits]
    named += [event for payback in plan.paybacks for event in (payback.event, payback.from_event)]
    return max([FIRST_CUSTOM_EVENT + len(plan.event_labels), *(event + 1 for event in named)])


def _byte(value: int) -> int:
    return value if 0 <= value <= 255 else 0  # the core refuses 0


def _point(columns: PlanColumns, kind: Kind, buffer: bytes | bytearray | array[int]) -> Array[int]:
    view = ffi.from_buffer(kind, buffer)
    columns.alive.append(view)
    return view


def _write_table(columns: PlanColumns, target: TableColumns, table: PrefixTable) -> None:
    count = len(table)
    if len(table.networks) != 16 * count or len(table.values) != count:
        raise PlanError(f"a table of {count} rows has {len(table.networks)} bytes and {len(table.values)} values")
    if table.values.itemsize != 4:
        raise PlanError("the values of a table are 32-bit numbers")
    target.networks = _point(columns, "uint8_t[]", table.networks)
    target.lengths = _point(columns, "uint8_t[]", table.lengths)
    target.values = _point(columns, "uint32_t[]", table.values)
    target.count = count


def _write_entries(columns: PlanColumns, entries: Sequence[Entry]) -> None:
    made = entries if isinstance(entries, Entries) else Entries.of(entries)
    if made.expiries.count(NEVER) == len(made):  # the fast path of a large policy
        expires = array("Q", (lib.SE_FOREVER,)) * len(made)
    else:
        expires = array("Q", map(nanoseconds, made.expiries))
    target = columns.plan.entries
    target.actions = _point(columns, "uint8_t[]", made.actions)
    target.reasons = _point(columns, "uint8_t[]", made.reasons)
    target.rules = _point(columns, "uint32_t[]", made.rules)
    target.expires = _point(columns, "uint64_t[]", expires)
    target.count = len(made)


def _write_limits(columns: PlanColumns, plan: Plan, keep_name: Callable[[str], int]) -> None:
    limits = ffi.new("struct se_limit[]", max(1, len(plan.limits)))
    for target, limit in zip(limits, plan.limits, strict=False):
        _write_limit(target, limit)
        if limit.rule != NO_RULE:
            if not 0 <= limit.rule < len(plan.rule_ids):
                raise PlanError(f"{limit} names a rule that the plan does not have")
            target.kept_rule = keep_name(plan.rule_ids[limit.rule])
    paybacks = ffi.new("struct se_payback[]", max(1, len(plan.paybacks)))
    for row, payback in zip(paybacks, plan.paybacks, strict=False):
        row.event, row.from_event, row.points = payback.event, payback.from_event, payback.points
    columns.alive += [limits, paybacks]
    columns.plan.limits, columns.plan.limit_count = limits, len(plan.limits)
    columns.plan.paybacks, columns.plan.payback_count = paybacks, len(plan.paybacks)


def _write_limit(target: LimitRow, limit: Limit) -> None:
    if not (0 <= limit.max_events <= 0xFFFF_FFFF and limit.window > 0 and limit.penalty >= 0 and limit.event >= 0):
        raise PlanError(f"{limit} has a count, window or penalty out of range")
    target.event = limit.event
    target.rule = target.kept_rule = limit.rule
    target.max_events = limit.max_events
    target.window = nanoseconds(limit.window)
    target.penalty = nanoseconds(limit.penalty)
    target.penalty_seconds = limit.penalty
    target.penalty_growth = limit.penalty_growth
    target.penalty_max_seconds = limit.penalty_max
    target.blacklist_threshold = limit.blacklist_threshold
    target.blacklist_ttl = nanoseconds(limit.blacklist_ttl)
    target.strike_memory = nanoseconds(limit.strike_memory)


def _write_sets(columns: PlanColumns, plan: Plan) -> None:
    """Write a matrix of limits, one row per set and one column per event, which C indexes without a search."""
    events = count_events(plan)
    sets = array("I", [lib.SE_NO_LIMIT]) * (events * len(plan.limit_sets))
    for row, members in enumerate(plan.limit_sets):
        for index in members:
            if not 0 <= index < len(plan.limits):
                raise PlanError("a set of limits names a limit that the plan does not have")
            at = row * events + plan.limits[index].event
            if sets[at] != lib.SE_NO_LIMIT:
                raise PlanError("a set of limits has two of one event")
            sets[at] = index
    columns.plan.sets = _point(columns, "uint32_t[]", sets)
    columns.plan.set_count = len(plan.limit_sets)
    columns.plan.event_count = events
