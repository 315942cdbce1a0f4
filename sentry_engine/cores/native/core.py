# SPDX-License-Identifier: GPL-3.0-or-later
"""The core in C: ``interface.Core`` for serving. Decisions take neither the GIL nor a lock that a swap holds.

Three layers: cffi reads the headers of ``native/``, this module checks lengths and turns numbers into values, and
``engine`` holds the objects. A verdict comes back from C as one word. Equal words share one ``Verdict``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from threading import Lock

from sentry_engine.addresses import Source, mask, render_network
from sentry_engine.cores.decision import CoreDecision
from sentry_engine.cores.interface import (
    BlockedNetwork,
    Burst,
    CoreCounters,
    KnownNetworks,
    Penalty,
    Request,
    SourceState,
    Step,
    Strikes,
)
from sentry_engine.cores.native.blocks import BlockNumbers
from sentry_engine.cores.native.calls import open_fast_calls
from sentry_engine.cores.native.changes import ChangeMarks, KnownRows, read_states
from sentry_engine.cores.native.columns import REASON_CODES
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.policies import BuiltPolicy, PolicySlots, list_hits
from sentry_engine.cores.native.types import (
    CorePointer,
    CountersStruct,
    DecisionRow,
    PenaltyRow,
    StepRow,
)
from sentry_engine.cores.plan import Plan
from sentry_engine.verdict import ACTIONS, NO_RULE, REASONS, Action, Reason, Verdict, read_word

STEPS = ("never_block", "rules", "penalty", "feeds", "country", "asn", "anonymizer", "limits", "default")
RULE_KEPT, RULE_BLOCK = lib.SE_RULE_KEPT, lib.SE_RULE_BLOCK
HAS_RETRY = 1 << 4  # SE_WORD_HAS_RETRY: of an answer's word
MAX_KEPT_NAMES = lib.SE_MAX_KEPT_RULES  # beyond it a penalty is listed without the id of its rule
MAX_STRIKES = 65_535  # of uint16_t
BURSTS_AT_A_TIME = 4_096  # rows per call, which bounds how long a call pins a policy
Wanted = Callable[[int, Action], bool]


class NativeCore:
    """Thread-safe, except ``close``, which requires that no other call is running."""

    def __init__(self) -> None:
        handle = ffi.new("struct se_core **")
        code = lib.se_core_open(handle)
        if code:
            raise OSError(-code, "the engine's native core could not be opened")
        self._core: CorePointer | None = handle[0]
        self._publishing = Lock()
        self._draining = Lock()
        self._kept: dict[str, int] = {}
        self._kept_names: list[str] = []
        self._policies = PolicySlots(self._core, self._keep_name)
        self._blocks = BlockNumbers(self._core)
        self._changes = ChangeMarks()
        self._fast_calls = open_fast_calls(
            int(ffi.cast("uintptr_t", self._core)), self._read, self._policies.add_late_hit
        )
        self.answer = self._fast_calls.answer  # no Python frame between the caller and C

    @property
    def gate_address(self) -> int:
        """Address of ``struct se_gate`` (``native/gate.h``), valid until ``close``."""
        return int(ffi.cast("uintptr_t", lib.se_core_gate(self._require_open())))

    @property
    def policy_bytes(self) -> int:
        """Bytes of the policy in force, without its hit counters."""
        return int(lib.se_policy_bytes(self._require_plan().policy))

    @property
    def state_bytes(self) -> int:
        """Bytes of the tables of sources. Fixed, whatever the number of sources."""
        return int(lib.se_core_state_bytes())

    def publish(self, plan: Plan) -> None:
        self._require_open()
        with self._publishing:
            self._fast_calls.count()
            self._policies.publish(plan)
            self._fast_calls.use_names(*self._policies.latest_names)

    def save(self, path: Path) -> None:
        """Write the policy in force, without blocks, to a policy file, which ``load`` reads in milliseconds."""
        self._require_plan()
        with self._publishing:
            self._policies.save(path)

    def load(self, path: Path) -> None:
        """Put a policy file in force. Raises ``PlanError`` or ``OSError``; then the previous policy stays in force."""
        self._require_open()
        with self._publishing:
            self._fast_calls.count()
            self._policies.load(path)
            self._fast_calls.use_names(*self._policies.latest_names)

    def put_blocks(self, blocks: Sequence[BlockedNetwork]) -> None:
        self._require_open()
        with self._publishing:
            self._blocks.put(blocks)
            self._fast_calls.forget()

    def remove_blocks(self, rule_ids: Iterable[str]) -> None:
        self._require_open()
        with self._publishing:
            self._blocks.remove(rule_ids)
            self._fast_calls.forget()

    def find_block(self, address: bytes, now: float) -> str | None:
        self._require_open()
        with self._publishing:
            return self._blocks.find(address, now)

    def decide(self, request: Request) -> Verdict:
        return self.answer(request.address, request.event, request.now, request.verified)

    def decide_many(self, requests: Sequence[Request]) -> list[Verdict]:
        return [self.answer(r.address, r.event, r.now, r.verified) for r in requests]

    def answer_many(
        self, sources: Sequence[Source], event: int, now: float, *, verified: bool = True
    ) -> Sequence[Verdict]:
        return self._fast_calls.answer_many(tuple(sources), event, now, verified)

    def answer_words(self, addresses: bytes, event: int, now: float, *, verified: bool = True) -> array[int]:
        """Releases the GIL. Raises ``ValueError`` unless the length is a multiple of 16."""
        count, rest = divmod(len(addresses), 16)
        if rest:
            raise ValueError(f"addresses are 16 bytes each, {len(addresses)} is no multiple")
        self._require_plan()
        words = array("Q", bytes(8 * count))
        in_c = ffi.from_buffer("uint64_t[]", words)
        lib.se_core_answer_words(self._require_open(), addresses, count, event, verified, now, in_c)
        return words

    def trace(self, request: Request) -> tuple[Verdict, list[Step]]:
        steps, wait = ffi.new("struct se_step[]", len(STEPS)), ffi.new("double *")
        with self._publishing:  # keeps limits and names those of the policy that is walked
            in_force = self._require_plan()
            word = lib.se_core_trace(
                self._require_open(), request.address, request.event, request.verified, request.now, steps, wait
            )
        names, limits = in_force.described.rule_ids, in_force.described.limits
        return self._read(word, wait[0]), [
            Step(
                tier=STEPS[at],
                matched=self._render_match(step, request.address, limits) if step.matched else None,
                rule_id=self._name(step.rule, names),
                action=None if step.action == lib.SE_STEP_NONE else ACTIONS[step.action],
                reason=None if step.reason == lib.SE_STEP_NONE else REASONS[step.reason],
                decisive=bool(step.decisive),
            )
            for at, step in enumerate(steps)
        ]

    def penalize(self, network: bytes, length: int, until: float, reason: Reason, rule_id: str | None) -> None:
        check_network(network, length)
        kept = NO_RULE if rule_id is None else self._keep_name(rule_id)
        lib.se_core_penalize(self._require_open(), network, length, until, REASON_CODES[id(reason)], kept)

    def pay_back(self, address: bytes, event: int, points: int) -> None:
        check_network(address, 128)
        lib.se_core_pay_back(self._require_open(), address, event, points)

    def clear_penalties(self, network: bytes, length: int, now: float) -> int:
        check_network(network, length)
        return int(lib.se_core_clear_penalties(self._require_open(), network, length, now))

    def penalties(self, now: float) -> list[Penalty]:
        core, room = self._require_open(), 64
        while True:
            rows = ffi.new("struct se_penalty_row[]", room)
            count = lib.se_core_penalties(core, now, rows, room)
            if count <= room:
                return [self._read_penalty(rows[i]) for i in range(count)]
            room = 2 * count

    def strikes(self, now: float) -> list[Strikes]:
        core, room = self._require_open(), 64
        while True:
            rows = ffi.new("struct se_strikes_row[]", room)
            count = lib.se_core_strikes(core, now, rows, room)
            if count <= room:
                return [Strikes(bytes(r.network), r.length, r.count, r.until) for r in rows[0:count]]
            room = 2 * count

    def restore_strikes(self, strikes: Strikes, now: float) -> None:
        check_network(strikes.network, strikes.length)
        row = ffi.new("struct se_strikes_row *")
        row.network, row.length = strikes.network, strikes.length
        row.count, row.until = min(strikes.count, MAX_STRIKES), strikes.until
        lib.se_core_restore_strikes(self._require_open(), row, now)

    def bursts(self, now: float) -> list[Burst]:
        core, found = self._require_open(), []
        rows, at = ffi.new("struct se_burst_row[]", BURSTS_AT_A_TIME), ffi.new("uint32_t *")
        while at[0] < lib.SE_NO_MORE_SETS:
            count = lib.se_core_bursts(core, now, at, rows, BURSTS_AT_A_TIME)
            found += [Burst(bytes(r.network), r.length, r.event, r.first, r.last, r.count) for r in rows[0:count]]
        return found

    def restore_burst(self, burst: Burst, now: float) -> None:
        check_network(burst.network, burst.length)
        row = ffi.new("struct se_burst_row *")
        row.network, row.length, row.event = burst.network, burst.length, burst.event
        row.first, row.last, row.count = burst.first, burst.last, burst.count
        lib.se_core_restore_burst(self._require_open(), row, now)

    def take_changes(self, now: float, most: int) -> list[tuple[bytes, int]]:
        return self._changes.take(self._require_open(), now, most)

    def list_known(self, now: float, most: int) -> KnownNetworks:
        rows = KnownRows(self._require_open(), now, most)
        return KnownNetworks(rows, rows.left_out)

    def read_networks(self, networks: Iterable[tuple[bytes, int]], clock: Callable[[], float]) -> Iterator[SourceState]:
        return read_states(self._require_open, networks, clock, self._read_penalty)

    def rule_hits(self) -> dict[str, int]:
        core = self._require_open()
        self._fast_calls.count()
        with self._publishing:
            hits = self._policies.hits()
            list_hits(hits, lambda *room: lib.se_core_kept_hits(core, *room), self._kept_names)
            list_hits(hits, lambda *room: lib.se_core_block_hits(core, *room), self._blocks.names)
        return dict(hits)

    def counters(self) -> CoreCounters:
        c = self._count()
        verdicts = {kind: c.verdicts[at] for at, kind in enumerate(product(ACTIONS, REASONS)) if c.verdicts[at]}
        return CoreCounters(c.decisions, c.sources, c.penalties, c.evicted, verdicts)

    def watch(self, every: int) -> None:
        """Record one in ``every`` decisions for ``drain``; 0 (the default): none."""
        lib.se_core_set_log_sampling(self._require_open(), max(0, min(every, 0xFFFF_FFFF)))

    def set_bell(self, bell: int) -> None:
        """``bell``: an eventfd that outlives the core. Each ``arm_bell`` has the next record ring it once."""
        lib.se_core_set_log_bell(self._require_open(), bell)

    def arm_bell(self) -> None:
        """A record of this very moment may not ring: look once more a moment later."""
        lib.se_core_arm_log(self._require_open())

    def drain(self, limit: int = 1024, wanted: Wanted | None = None) -> list[CoreDecision]:
        """Remove and return up to ``limit`` recorded decisions, oldest first. ``unlogged`` counts those that were lost.

        ``wanted(event, action)`` selects which decisions are read. Reading is what costs, so a flood needs a filter.
        """
        core = self._require_open()
        rows = ffi.new("struct se_decision_row[]", limit)
        with self._draining:
            count = lib.se_core_drain_log(core, rows, limit)
        return [
            self._read_decision(row)
            for row in rows[0:count]
            if wanted is None or wanted(row.event, read_word(row.word)[0])
        ]

    @property
    def unlogged(self) -> int:
        """Number of decisions that were not recorded because the log was full."""
        return int(self._count().unlogged)

    def close(self) -> None:
        if self._core is None:
            return
        self._fast_calls.close()
        core, self._core = self._core, None
        lib.se_core_close(core)
        self._policies.close()

    def _require_open(self) -> CorePointer:
        if self._core is None:
            raise RuntimeError("the core is closed")
        return self._core

    def _require_plan(self) -> BuiltPolicy:
        in_force = self._policies.in_force
        if in_force is None:
            raise RuntimeError("the core has no plan: publish one first, and ask nothing after close")
        return in_force

    def _keep_name(self, name: str) -> int:
        number = self._kept.get(name)
        if number is None:
            if len(self._kept_names) == MAX_KEPT_NAMES:
                return NO_RULE
            number = self._kept[name] = len(self._kept_names)
            self._kept_names.append(name)
        return number

    def _name(self, rule: int, names: Sequence[str]) -> str | None:
        if rule == NO_RULE:
            return None
        if rule & RULE_KEPT:
            return self._kept_names[rule & ~RULE_KEPT]
        if rule & RULE_BLOCK:
            return self._blocks.names[rule & ~RULE_BLOCK]
        return names[rule] if rule < len(names) else None  # the answer outlived the names of its plan

    def _read(self, word: int, wait: float) -> Verdict:
        """The verdict of a word. Its rule id is looked up in the plan that gave the answer, if that is still known."""
        names = self._policies.names
        if not names:
            self._require_plan()
        rule_id = self._name(word >> 32, names.get(word >> 16 & 0xFFFF, ()))
        return Verdict(*read_word(word), rule_id, wait if word & HAS_RETRY else None)

    def _count(self) -> CountersStruct:
        counters = ffi.new("struct se_counters *")
        lib.se_core_read_counters(self._require_open(), counters)
        return counters

    def _read_decision(self, row: DecisionRow) -> CoreDecision:
        request = Request(
            bytes(row.address), row.event, row.now, row.port, row.local_port, row.protocol, bool(row.verified)
        )
        return CoreDecision(request, self._read(row.word, row.retry_after), row.latency / 1e9)

    def _read_penalty(self, row: PenaltyRow) -> Penalty:
        rule_id = self._name(row.kept_rule if row.kept_rule == NO_RULE else RULE_KEPT | row.kept_rule, ())
        return Penalty(bytes(row.network), row.length, row.until, row.strikes, REASONS[row.reason], rule_id)

    @staticmethod
    def _render_match(step: StepRow, address: bytes, limits: Sequence[tuple[int, float, str | None]]) -> str:
        network = render_network(mask(address, step.length), step.length)
        if step.limit == NO_RULE:
            return network
        max_events, window, _ = limits[step.limit]
        return f"{max_events} in {window:g} s by {network}"


def check_network(network: bytes, length: int) -> None:
    if len(network) != 16 or not 0 <= length <= 128:
        raise ValueError(f"a network is 16 bytes and a length of 0 to 128, not {len(network)} and {length}")
