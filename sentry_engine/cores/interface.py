# SPDX-License-Identifier: GPL-3.0-or-later
"""What a core must do: the port between the engine's objects and the two that carry it out.

``native.NativeCore`` answers from C without the GIL and serves the gateway; ``twin.ReferenceCore`` is the same in plain
Python with pytricia as its prefix index: the specification and the oracle. One test suite runs on both.

DECISION ORDER, the first decisive tier wins:

1. ``NEVER_BLOCK`` matches: accept, nothing is counted.
2. ``RULES``, the most specific live entry: accept (exempt from all below, nothing is counted) or reject.
3. The penalty box: a source in penalty is refused until its end. Being refused here counts nothing.
4. ``FEEDS``.   5. ``COUNTRY`` (with continent rules folded in), then ``ASN``, then ``ANONYMIZER``; an entry that
   rejects decides, one that accepts or informs does not; ``on_missing`` where the country is unknown.
6. The limit of this event in the most specific ``LIMITS`` row: counted, refused when over (and a penalty begins).
7. ``Plan.default``.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sentry_engine.addresses import Source, render_network
from sentry_engine.cores.plan import Plan
from sentry_engine.verdict import Action, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """One question. ``address`` is packed as in ``plan``; ``now`` is seconds of the engine's clock."""

    address: bytes
    event: int
    now: float
    port: int = 0
    local_port: int = 0
    protocol: int = 0
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One tier of the walk that ``trace`` returns: what matched there, and whether it decided."""

    tier: str
    matched: str | None  # the prefix, penalty or limit that matched, as text; None: nothing did
    rule_id: str | None
    action: Action | None
    reason: Reason | None
    decisive: bool


@dataclass(frozen=True, slots=True)
class Penalty:
    """A source in the penalty box. ``network`` is packed address plus length; ``until`` is ``inf`` for ever."""

    network: bytes
    length: int
    until: float
    strikes: int
    reason: Reason
    rule_id: str | None

    @property
    def text(self) -> str:
        """The network as text, ``192.0.2.1/32``."""
        return render_network(self.network, self.length)


@dataclass(frozen=True, slots=True)
class Strikes:
    """How many penalties of a source count towards its next one, until they are forgotten (``inf``: never)."""

    network: bytes
    length: int
    count: int
    until: float


@dataclass(frozen=True, slots=True)
class Burst:
    """``count`` events of a source that passed, between ``first`` and ``last``; both may lie before the clock began."""

    network: bytes
    length: int
    event: int
    first: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class CoreCounters:
    decisions: int
    refused: int
    sources: int  # rows in use in the table of windows
    penalties: int
    evicted: int  # rows of idle sources that made room for new ones


class Core(Protocol):
    def publish(self, plan: Plan) -> None:
        """Put ``plan`` in force at once; windows, strikes and penalties carry over. Raises ``PlanError``, then the
        plan before stays in force."""

    def decide(self, request: Request) -> Verdict:
        """Answer, and count the event."""

    def decide_many(self, requests: Sequence[Request]) -> list[Verdict]: ...

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict:
        """``decide`` without a value for the question, for who asks often: the address as it comes, as text, as an
        ``ipaddress`` object or packed. What is no address is refused with ``verdict.INVALID`` and not counted.
        Raises ``TypeError`` for what is none of the three, ``ValueError`` for bytes that are not 16."""

    def answer_many(self, sources: Sequence[Source], event: int, now: float, *, verified: bool = True) -> list[Verdict]:
        """``answer`` for one event of many addresses, in their order."""

    def answer_words(self, addresses: bytes, event: int, now: float, *, verified: bool = True) -> array[int]:
        """``answer_many`` for addresses of 16 bytes, joined, without a value for each answer: ``verdict.read_word``
        reads them."""

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        """The same walk as ``decide``, through the same code, counting nothing; every tier is looked at."""

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None: ...

    def clear_penalties(self, network: bytes, length: int, now: float) -> int:
        """End the penalties and forget the strikes and windows of the sources inside; returns how many penalties
        ended.
        """

    def penalties(self, now: float) -> list[Penalty]: ...

    def strikes(self, now: float) -> list[Strikes]:
        """Of every source that has any."""

    def restore_strikes(self, strikes: Strikes, now: float) -> None:
        """Put strikes back: the higher count and the later end hold. Past ones do nothing."""

    def bursts(self, now: float) -> list[Burst]:
        """The events that still count under the plan in force, those of a source and event oldest first."""

    def restore_burst(self, burst: Burst, now: float) -> None:
        """Count a burst again, at the latest time it may have been: where a core keeps less than it is told, the
        source waits longer, never shorter. Bursts of a source come oldest first."""

    def rule_hits(self) -> dict[str, int]: ...

    def counters(self) -> CoreCounters: ...

    def close(self) -> None: ...
