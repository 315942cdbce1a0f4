# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: a policy compiled to columns, which a core loads.

Policies are parsed (``formats``), compiled (``policy.compiler``) and matched (a core). A plan has no names to look up
and no text to parse. Prefixes are packed columns, so a million rules are a few arrays. A core swaps a plan in at once;
it may keep the plan, and never changes it.

Addresses are 16 bytes in network order, IPv4 as ``::ffff:a.b.c.d`` (a prefix of 96 bits or longer below
``::ffff:0:0/96`` is IPv4 and matches nothing else; a shorter IPv6 prefix such as ``::/0`` never matches an IPv4
source). Times are seconds of the engine's clock, the one that ``now`` is given in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import field
from enum import IntEnum
from typing import overload

from sentry_engine.addresses import V4_OFFSET, is_ipv4, mask
from sentry_engine.records import dataclass
from sentry_engine.verdict import ACTIONS, REASONS, Action, Reason


class PlanError(ValueError):
    """The columns of a plan do not fit together. The previous plan stays in force."""


class Tier(IntEnum):
    """The prefix tables of a plan. Their precedence is DECISION ORDER in ``interface``."""

    NEVER_BLOCK = 0
    RULES = 1
    FEEDS = 2
    COUNTRY = 3
    ASN = 4
    ANONYMIZER = 5
    LIMITS = 6


@dataclass(frozen=True, slots=True)
class PrefixTable:
    """The prefixes of one tier as parallel columns. Between equal prefixes the lower live value wins."""

    networks: bytes = b""  # 16 bytes a row, host bits zero
    lengths: bytes = b""  # one byte a row, 0 to 128; IPv4 lengths plus 96
    values: array[int] = field(
        default_factory=lambda: array("I")
    )  # index to Plan.entries; in LIMITS to Plan.limit_sets

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of a matching prefix. ``action`` ``None`` only informs: a known country without a rule.

    An expired entry (``now >= expires_at``) does not match; the next shorter prefix of the tier is tried.
    """

    action: Action | None
    reason: Reason
    rule: int  # index to Plan.rule_ids, or verdict.NO_RULE
    expires_at: float | None = None


NEVER = math.inf  # the expiry of an entry without one, in a column
INFORMS = len(ACTIONS)  # the action of an entry without one, in a column


@dataclass(frozen=True, slots=True)
class Entries(Sequence[Entry]):
    """Entries as parallel columns; indexing makes an ``Entry``. Immutable once in a plan."""

    actions: bytearray = field(default_factory=bytearray)  # indices to verdict.ACTIONS, or INFORMS
    reasons: bytearray = field(default_factory=bytearray)  # indices to verdict.REASONS
    rules: array[int] = field(default_factory=lambda: array("I"))
    expiries: array[float] = field(default_factory=lambda: array("d"))  # seconds, or NEVER

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """A mutable copy. Raises ``PlanError`` for a rule index beyond 32 bits."""
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
        """Append entries without expiry for ``count`` rules, beginning with rule ``first``."""
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
    """A rate limit: the first ``max_events`` in any ``window`` pass, the next is refused and starts a penalty.

    A penalty clears the window. The nth penalty of a source within ``strike_memory`` seconds lasts
    ``penalty * penalty_growth ** (n - 1)``, at most ``penalty_max``. From ``blacklist_threshold`` penalties on (0:
    never) it lasts ``blacklist_ttl`` seconds; ``None``: permanently.
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
    """An ``event`` removes ``points`` events from the ``from_event`` window of the same source.

    From ``AUTH_SUCCESS`` to ``AUTH_FAILURE`` see ``LoginPayback``.
    """

    event: int
    from_event: int
    points: int


@dataclass(frozen=True, slots=True)
class LoginPayback:
    """A successful login removes up to ``points`` failures of the same user from the window of its source.

    Cores know no users: the engine applies it. Failures older than ``window`` seconds are not paid back.
    """

    points: int
    window: float


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The prefix lengths that make a source, and the escalation of IPv6 penalties.

    When ``escalate_after`` sources of one /56 (then /56s of one /48) are in penalty, all of it is.
    """

    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
    escalate_after: int = 4  # 0: never

    def source_of(self, address: bytes) -> tuple[bytes, int]:
        """The source of a packed address: its packed prefix and length."""
        length = self.ipv4_prefix + V4_OFFSET if is_ipv4(address) else self.ipv6_prefix
        return mask(address, length), length


@dataclass(frozen=True, slots=True)
class Plan:
    version: int  # of the policy, rising with each swap of one engine
    tables: tuple[PrefixTable, ...]  # one per Tier, in its order
    entries: Sequence[Entry]  # ``Entries`` where there may be many
    rule_ids: tuple[str, ...]
    limits: tuple[Limit, ...]
    limit_sets: tuple[tuple[int, ...], ...]  # sets of indices to limits; at most one limit per event in a set
    paybacks: tuple[Payback, ...] = ()
    login_payback: LoginPayback | None = None
    event_labels: tuple[str, ...] = ()  # custom labels, numbered from FIRST_CUSTOM_EVENT
    default: Action = Action.ACCEPT
    on_missing: Action | None = None  # if no COUNTRY row matches and the policy filters by country
    aggregation: Aggregation = Aggregation()


def find_source(plan: Plan, address: bytes) -> tuple[bytes, int]:
    """The source of a packed address by the plan's aggregation."""
    return plan.aggregation.source_of(address)
