# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a core, which decides by a compiled plan.

``native.core.NativeCore`` decides in C without the GIL and serves the gateway. ``reference.core.ReferenceCore`` does
the same in plain Python, with pytricia as its prefix index: the specification and the oracle. One test suite runs on
both.

DECISION ORDER, the first decisive tier wins:

1. ``NEVER_BLOCK`` matches: accept, nothing is counted.
2. ``RULES`` and the blocks, the most specific live entry: accept (skips all tiers below, counts nothing) or reject. Of
   equal networks the rule decides, and of several blocks of one network the latest.
3. The penalty box: a penalised source is refused until its penalty ends. A refusal here counts nothing.
4. ``FEEDS``.
5. ``COUNTRY`` (which includes continent rules), then ``ASN``, then ``ANONYMIZER``. Only an entry that rejects decides.
   ``on_missing`` applies if the country is unknown.
6. The limit on this event in the most specific ``LIMITS`` row: counts, and over the limit refuses and penalises.
7. ``Plan.default``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from sentry_engine.addresses import Source, render_network
from sentry_engine.cores.plan import Plan
from sentry_engine.records import dataclass
from sentry_engine.verdict import Action, Reason, Verdict


@dataclass(frozen=True, slots=True)
class BlockedNetwork:
    """A block: a network that is refused until an end, unless a rule is at least as specific."""

    rule_id: str
    network: bytes  # packed, host bits zero
    length: int
    text: str = ""
    expires_at: float | None = None  # seconds of the engine's clock; ``None``: without end


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class Request:
    """A request. ``address`` is packed as in ``plan``; ``now`` is seconds of the engine's clock."""

    address: bytes
    event: int
    now: float
    port: int = 0
    local_port: int = 0
    protocol: int = 0
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One tier of the walk that ``trace`` returns."""

    tier: str
    matched: str | None  # the matching prefix, penalty or limit as text; None: no match
    rule_id: str | None
    action: Action | None
    reason: Reason | None
    decisive: bool


@dataclass(frozen=True, slots=True)
class Penalty:
    """A network in the penalty box. ``network`` is packed; ``until`` is ``inf`` for a permanent penalty."""

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
    """The number of strikes of a source, and when they are forgotten (``inf``: never)."""

    network: bytes
    length: int
    count: int
    until: float


@dataclass(frozen=True, slots=True)
class Burst:
    """``count`` accepted events of a source between ``first`` and ``last``. Times may be negative."""

    network: bytes
    length: int
    event: int
    first: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class SourceState:
    """All that is known of a packed network. ``None`` and no bursts: nothing."""

    network: bytes
    length: int
    penalty: Penalty | None
    strikes: Strikes | None
    bursts: tuple[Burst, ...]

    @property
    def text(self) -> str:
        """The network as text, ``192.0.2.1/32``."""
        return render_network(self.network, self.length)


class KnownNetwork(NamedTuple):
    """A packed network of which something is known: whether it is among the sources to keep, and whether in penalty."""

    network: bytes
    length: int
    is_source: bool
    in_penalty: bool


@dataclass(frozen=True, slots=True)
class KnownNetworks:
    """``rows`` may be iterated over again. ``left_out`` is the number of sources that are not among them."""

    rows: Iterable[KnownNetwork]
    left_out: int


class ChangesUnknownError(Exception):
    """What changed is not known one by one. ``reason`` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CoreCounters:
    """``verdicts``: how often each was given, without those never given."""

    decisions: int
    sources: int  # with a row in the table of windows
    penalties: int
    evicted: int  # sources evicted from the table of windows
    verdicts: Mapping[tuple[Action, Reason], int]

    @property
    def refused(self) -> int:
        return sum(count for (action, _), count in self.verdicts.items() if action is not Action.ACCEPT)


class Core(Protocol):
    """What decides, and keeps the state of sources."""

    def publish(self, plan: Plan) -> None:
        """Put ``plan`` in force at once; blocks, windows, strikes and penalties stay.

        Raises ``PlanError``; then the previous plan stays in force.
        """

    def decide(self, request: Request) -> Verdict:
        """Decide, and count the event."""

    def decide_many(self, requests: Sequence[Request]) -> list[Verdict]: ...

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict:
        """``decide`` without a ``Request``: the address is text, an ``ipaddress`` object or packed bytes.

        A malformed address gets ``verdict.INVALID`` and is not counted. Raises ``TypeError`` for other types,
        ``ValueError`` for bytes that are not 16.
        """

    def answer_many(
        self, sources: Sequence[Source], event: int, now: float, *, verified: bool = True
    ) -> Sequence[Verdict]:
        """``answer`` for each address, in order."""

    def answer_words(self, addresses: bytes, event: int, now: float, *, verified: bool = True) -> array[int]:
        """``answer_many`` for packed addresses, joined. Returns words for ``verdict.read_word``."""

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        """The walk of ``decide`` through every tier, by the same code. Counts nothing."""

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None: ...

    def pay_back(self, address: bytes, event: int, points: int) -> None:
        """Remove up to ``points`` of the newest events ``event`` from the window of the address's source."""

    def clear_penalties(self, network: bytes, length: int, now: float) -> int:
        """Remove the penalties, strikes and windows inside a network. Returns how many penalties ended."""

    def penalties(self, now: float) -> list[Penalty]: ...

    def strikes(self, now: float) -> list[Strikes]:
        """The strikes of every source with at least one."""

    def restore_strikes(self, strikes: Strikes, now: float) -> None:
        """Add saved strikes. The higher count and the later end win; forgotten ones are skipped."""

    def bursts(self, now: float) -> list[Burst]:
        """The events that still count under the plan in force, oldest first per source and event."""

    def restore_burst(self, burst: Burst, now: float) -> None:
        """Count a saved burst at its latest possible time, so a source never waits shorter than before.

        Requires the bursts of a source in order, oldest first.
        """

    def take_changes(self, now: float, most: int) -> list[tuple[bytes, int]]:
        """The packed networks, with their length, whose penalty, strikes or bursts changed since the last call.

        So do the bursts that a new plan limits in another way. What ends as time passes follows in one of the next
        calls, 64 of which look at all rows once. Raises ``ChangesUnknownError``: more than ``most`` changed (``many``),
        more were evicted or cleared than are noted (``overflow``), or the core notes none (``unsupported``).
        """

    def list_known(self, now: float, most: int) -> KnownNetworks:
        """The networks in penalty, and the ``most`` sources with the most strikes, then events. Changes nothing."""

    def read_networks(self, networks: Iterable[tuple[bytes, int]], clock: Callable[[], float]) -> Iterator[SourceState]:
        """What is known of each network by the ``clock``, read as the result is iterated over."""

    def rule_hits(self) -> dict[str, int]: ...

    def counters(self) -> CoreCounters: ...

    def close(self) -> None: ...


class PolicyCore(Core, Protocol):
    """A core that holds blocks. One change costs the same whatever their number."""

    def put_blocks(self, blocks: Sequence[BlockedNetwork]) -> None:
        """Put blocks in force. One of a known id replaces that one, without a moment between them; its hits begin at 0.

        Raises ``ValueError`` if there is no room for them all; then nothing changes.
        """

    def remove_blocks(self, rule_ids: Iterable[str]) -> None:
        """End blocks, and forget their hits. Unknown ids are skipped."""

    def find_block(self, address: bytes, now: float) -> str | None:
        """Returns the id of the most specific block of a packed address at ``now``; of one network the latest."""
