# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy compiled to columns: what a core loads, native or twin.

Parse, compile and match are three steps (``formats`` -> ``compiler`` -> a core). The plan is the value between the last
two: no names to look up, no text to parse, every prefix of every tier as packed columns, so that a million rules are a
few arrays. A core takes a plan whole and swaps it in at once; it may keep the plan, and never changes it.

Addresses are 16 bytes in network order, IPv4 as ``::ffff:a.b.c.d`` (a prefix of 96 bits or longer below
``::ffff:0:0/96`` is IPv4 and matches nothing else; a shorter IPv6 prefix such as ``::/0`` never matches an IPv4
source). Times are seconds of the engine's clock, the one that ``now`` is given in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import overload

from sentry_engine.addresses import V4_OFFSET, is_ipv4, mask
from sentry_engine.verdict import ACTIONS, REASONS, Action, Reason


class PlanError(ValueError):
    """A plan that no core may put in force: its columns do not fit together. The plan before it stays in force."""


class Tier(IntEnum):
    """The prefix tables of a plan, in no order of precedence (that is the walk's, in DECISION ORDER of ``core``)."""

    NEVER_BLOCK = 0
    RULES = 1
    FEEDS = 2
    COUNTRY = 3
    ASN = 4
    ANONYMIZER = 5
    LIMITS = 6


@dataclass(frozen=True, slots=True)
class PrefixTable:
    """The prefixes of one tier as parallel columns. Of two rows with the same prefix the lower live value wins."""

    networks: bytes = b""  # 16 bytes a row, host bits zero
    lengths: bytes = b""  # one byte a row, 0 to 128; IPv4 lengths plus 96
    values: array[int] = field(
        default_factory=lambda: array("I")
    )  # index to Plan.entries; in LIMITS to Plan.limit_sets

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a matching prefix says. ``action`` is ``None`` where it only informs (a country nobody has a rule about).

    An entry whose ``expires_at`` has come (``now >= expires_at``) does not match: the next shorter prefix of the same
    tier is asked, and so on.
    """

    action: Action | None
    reason: Reason
    rule: int  # index to Plan.rule_ids, or verdict.NO_RULE
    expires_at: float | None = None


NEVER = math.inf  # the expiry of an entry that has none, in a column
INFORMS = len(ACTIONS)  # the action of an entry that has none, in a column


@dataclass(frozen=True, slots=True)
class Entries(Sequence[Entry]):
    """Entries as parallel columns; an ``Entry`` is made when one is looked at. Never changed once in a plan."""

    actions: bytearray = field(default_factory=bytearray)  # places in verdict.ACTIONS, or INFORMS
    reasons: bytearray = field(default_factory=bytearray)  # places in verdict.REASONS
    rules: array[int] = field(default_factory=lambda: array("I"))
    expiries: array[float] = field(default_factory=lambda: array("d"))  # seconds, or NEVER

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """A copy, which may be added to. Raises ``PlanError`` for a rule that is no 32-bit number."""
        if isinstance(entries, Entries):
            return cls(entries.actions[:], entries.reasons[:], entries.rules[:], entries.expiries[:])
        made = cls()
        for entry in entries:
            made.add(entry)
        return made

    def add(self, entry: Entry) -> None:
        self.actions.append(ACTION_CODES[entry.action])
        self.reasons.append(REASON_CODES[entry.reason])
        try:
            self.rules.append(entry.rule)
        except OverflowError:
            raise PlanError("an entry names a rule that the plan does not have") from None
        self.expiries.append(NEVER if entry.expires_at is None else entry.expires_at)

    def add_rules(self, action: Action, reason: Reason, first: int, count: int) -> None:
        """Entries of ``count`` rules from the ``first`` on, which do not expire."""
        self.actions.extend(bytes((ACTION_CODES[action],)) * count)
        self.reasons.extend(bytes((REASON_CODES[reason],)) * count)
        self.rules.extend(range(first, first + count))
        self.expiries.extend(array("d", (NEVER,)) * count)

    def __len__(self) -> int:
        return len(self.actions)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, at: int | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        code, expiry = self.actions[at], self.expiries[at]
        action = None if code == INFORMS else ACTIONS[code]
        return Entry(action, REASONS[self.reasons[at]], self.rules[at], None if expiry == NEVER else expiry)


ACTION_CODES: dict[Action | None, int] = {action: code for code, action in enumerate(ACTIONS)} | {None: INFORMS}
REASON_CODES = {reason: code for code, reason in enumerate(REASONS)}


DEFAULT_PENALTY_GROWTH = 1.0
DEFAULT_PENALTY_MAX = 86_400.0  # seconds
DEFAULT_STRIKE_MEMORY = 86_400.0  # seconds
MAX_LIMIT_EVENTS = 65_535  # events in one window: what a row of the native table can count


@dataclass(frozen=True, slots=True)
class Limit:
    """The first ``max_events`` in any ``window`` pass, the next one is refused and starts a penalty.

    A penalty clears the window, so that its end is a fresh start. The nth penalty of a source, counted over
    ``strike_memory`` seconds, lasts ``penalty * penalty_growth ** (n - 1)``, at most ``penalty_max``; at
    ``blacklist_threshold`` penalties (0: never) it lasts ``blacklist_ttl`` seconds, ``None`` for ever.
    """

    event: int  # verdict.Event, or FIRST_CUSTOM_EVENT + n
    rule: int
    max_events: int  # 1 to MAX_LIMIT_EVENTS
    window: float  # seconds
    penalty: float  # seconds; 0: the refusal itself is all
    penalty_growth: float = DEFAULT_PENALTY_GROWTH
    penalty_max: float = DEFAULT_PENALTY_MAX
    blacklist_threshold: int = 0
    blacklist_ttl: float | None = None
    strike_memory: float = DEFAULT_STRIKE_MEMORY


@dataclass(frozen=True, slots=True)
class Payback:
    """An ``event`` takes ``points`` events back from the window of ``from_event`` of the same source."""

    event: int
    from_event: int
    points: int


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Which bits of an address make a source. Escalation: when ``escalate_after`` /64s (or other ``ipv6_prefix``es) of
    one /56 (then of one /48) are in penalty at a time, the whole of it is."""

    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
    escalate_after: int = 4  # 0: never


@dataclass(frozen=True, slots=True)
class Plan:
    version: int  # of the policy, rising with each swap of one engine
    tables: tuple[PrefixTable, ...]  # one per Tier, in its order
    entries: Sequence[Entry]  # ``Entries`` where there may be many
    rule_ids: tuple[str, ...]
    limits: tuple[Limit, ...]
    limit_sets: tuple[tuple[int, ...], ...]  # sets of indices to limits; at most one limit per event in a set
    paybacks: tuple[Payback, ...] = ()
    event_labels: tuple[str, ...] = ()  # custom labels, numbered from FIRST_CUSTOM_EVENT
    default: Action = Action.ACCEPT
    on_missing: Action | None = None  # verdict where no COUNTRY row matches and the policy filters by country
    aggregation: Aggregation = Aggregation()
    # This plan is ``base`` with RULES rows, entries and rule ids appended: what a core built of it, it may use again.
    base: Plan | None = None


def find_source(plan: Plan, address: bytes) -> tuple[bytes, int]:
    """The packed prefix that is one source, by the plan's aggregation."""
    aggregation = plan.aggregation
    length = aggregation.ipv4_prefix + V4_OFFSET if is_ipv4(address) else aggregation.ipv6_prefix
    return mask(address, length), length
