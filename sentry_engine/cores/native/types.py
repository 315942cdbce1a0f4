# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of what cffi hands out: the structures of the native core's headers, and pointers to those that stay in C.

A structure lists the fields that Python uses. A test compares it with the compiled module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar, overload

T = TypeVar("T")


class Array(Protocol[T]):
    """An array or a pointer to items. A pointer has item 0 only, and no length."""

    @overload
    def __getitem__(self, at: int, /) -> T: ...
    @overload
    def __getitem__(self, at: slice, /) -> Array[T]: ...
    def __setitem__(self, at: int, value: T, /) -> None: ...
    def __iter__(self) -> Iterator[T]: ...
    def __len__(self) -> int: ...


class Bytes(Protocol):
    """``uint8_t[16]`` of a structure. Assigning 16 bytes to the field copies them."""

    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...


class Null:
    """``ffi.NULL``."""


class CorePointer:
    """``struct se_core *``"""


class PolicyPointer:
    """``struct se_policy *``"""


class InForcePointer:
    """``struct se_in_force *``"""


class GatePointer:
    """``struct se_gate *``"""


class Text:
    """``const char *``"""


class TableColumns(Protocol):
    """``struct se_table_columns``"""

    networks: Array[int]
    lengths: Array[int]
    values: Array[int]
    count: int


class EntryColumns(Protocol):
    """``struct se_entry_columns``"""

    actions: Array[int]
    reasons: Array[int]
    rules: Array[int]
    expires: Array[int]
    count: int


class LimitRow(Protocol):
    """``struct se_limit``"""

    window: int
    penalty: int
    blacklist_ttl: int
    strike_memory: int
    penalty_seconds: float
    penalty_growth: float
    penalty_max_seconds: float
    rule: int
    kept_rule: int
    max_events: int
    blacklist_threshold: int
    event: int


class PaybackRow(Protocol):
    """``struct se_payback``"""

    event: int
    from_event: int
    points: int


class PlanStruct(Protocol):
    """``struct se_plan_columns``"""

    version: int
    tables: Array[TableColumns]
    entries: EntryColumns
    limits: Array[LimitRow]
    sets: Array[int]
    paybacks: Array[PaybackRow]
    limit_count: int
    set_count: int
    event_count: int
    payback_count: int
    rule_count: int
    escalate_after: int
    default_action: int
    on_missing: int
    ipv4_prefix: int
    ipv6_prefix: int


class FaultStruct(Protocol):
    """``struct se_fault``"""

    what: Text | Null
    tier: int
    row: int


class StepRow(Protocol):
    """``struct se_step``"""

    matched: int
    length: int
    action: int
    reason: int
    decisive: int
    rule: int
    limit: int


class DecisionRow(Protocol):
    """``struct se_decision_row``"""

    word: int
    retry_after: float
    now: float
    latency: int
    event: int
    port: int
    local_port: int
    protocol: int
    verified: int
    address: Bytes


class PenaltyRow(Protocol):
    """``struct se_penalty_row``"""

    network: Bytes
    until: float
    kept_rule: int
    strikes: int
    length: int
    reason: int


class StrikesRow(Protocol):
    """``struct se_strikes_row``"""

    network: Bytes | bytes
    until: float
    count: int
    length: int


class BurstRow(Protocol):
    """``struct se_burst_row``"""

    network: Bytes | bytes
    first: float
    last: float
    count: int
    event: int
    length: int


class ChangedRow(Protocol):
    """``struct se_changed_row``"""

    network: Bytes | bytes
    length: int
    is_source: int
    in_penalty: int


class CountersStruct(Protocol):
    """``struct se_counters``"""

    decisions: int
    sources: int
    penalties: int
    evicted: int
    unlogged: int
    verdicts: Sequence[int]
