# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: one policy in force, the core that answers by it, and the leases of connected clients.

Time is an argument: ``now`` is seconds of the engine's clock, by default the monotonic one. Calendar time is converted
to that clock through ``wall_clock``: the expiry of rules when a policy is put in force, a block's when it is made.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import RLock
from typing import Self

from sentry_engine.addresses import Address, AddressError, Network, pack_address, pack_network, render_address
from sentry_engine.cores.factory import CoreName, make_core
from sentry_engine.cores.interface import Core, CoreCounters, Penalty, PolicyCore, Request
from sentry_engine.cores.nanoseconds import is_time
from sentry_engine.cores.plan import find_source
from sentry_engine.detectors import DetectorSet, Thresholds
from sentry_engine.engine import state_transfer
from sentry_engine.engine.block_journal import BlockJournal
from sentry_engine.engine.blocks import Blocks, make_block, to_blocked_network, to_rule, would_block
from sentry_engine.engine.core_stack import CoreStack
from sentry_engine.engine.decision_log import DecisionLog
from sentry_engine.engine.event_names import BUILTIN_NUMBERS, LOGIN_EVENTS, EventName, EventNames
from sentry_engine.engine.explanation import Explanation, add_user_step
from sentry_engine.engine.in_force import InForce
from sentry_engine.engine.leases import ClientLimits, Lease, LeaseTable, refuse_admission
from sentry_engine.engine.logins import check_user_rules, decide_connected, observe_login, settle_failures
from sentry_engine.engine.penalties import clear_penalties
from sentry_engine.engine.prepared_policy import PreparedPolicy, prepare_policy
from sentry_engine.engine.saved_state import SavedPenalty, SavedSource, State
from sentry_engine.engine.state_changes import ChangeTaker, StateChanges, WholeState, take_whole
from sentry_engine.engine.unpaid_failures import UnpaidFailures
from sentry_engine.gc_pause import collector_paused
from sentry_engine.policy.compiler import CompileSettings
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import Prefixes
from sentry_engine.rules.model import PrefixRule
from sentry_engine.rules.user_rules import limit_of
from sentry_engine.verdict import INVALID, Action, Event, Reason, Verdict, write_word

INVALID_WORD = write_word(INVALID.action, INVALID.reason)

Clock = Callable[[], float]


class Engine:
    """Thread-safe."""

    def __init__(
        self,
        policy: Policy,
        *,
        core: CoreName | PolicyCore = "native",
        limits: ClientLimits | None = None,
        never_block: Iterable[Network] = (),
        default: Action | str = Action.ACCEPT,
        decisions: DecisionLog | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        """``default`` applies if the policy states none. ``never_block`` lists the operator's own networks.

        ``decisions`` receives the decisions made here, but not those that the gateway asks of the core directly. With
        ``core="wolfsentry"`` wolfSentry configurations run on libwolfsentry, everything else on the native core.
        """
        if Action(default) is Action.RATE_LIMITED:
            raise ValueError("the default is accept or reject")
        self._clock = clock
        self._wall_clock = wall_clock
        self._default = Action(default)
        self._never_block = Prefixes.of(*never_block)
        self._lock = RLock()
        self._blocks = Blocks()
        self._journal = BlockJournal()
        self._cores = CoreStack(core, make_core, lambda: tuple(self._blocks.by_id.values()))
        self._core: Core = self._cores.inner
        self._leases = LeaseTable(limits or ClientLimits())
        self.decisions = decisions
        self.detectors = DetectorSet()
        self._unpaid = UnpaidFailures()
        self._changes = ChangeTaker()
        self._version = self._policy_version = 0
        self._next_change: float | None = None
        self._events = EventNames()
        self._numbers = BUILTIN_NUMBERS
        self.swap(policy)

    # -- the policy in force

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def version(self) -> int:
        """Rises with every change in force: a swap, a block, an unblock."""
        return self._version

    @property
    def never_block(self) -> Prefixes:
        """The networks that no rule, penalty or limit may refuse."""
        return self._never_block

    def set_never_block(self, networks: Iterable[Network]) -> None:
        """Exempt these networks instead, from now on."""
        with self._lock:
            self._never_block = Prefixes.of(*networks)
            self.swap(self._policy)

    def in_force(self, since: int = -1) -> InForce:
        """Policy and blocks of one moment. ``since`` is an earlier ``version``: then only blocks that changed after it.

        All blocks are listed if more changed than ``BlockJournal`` notes.
        """
        with self._lock:
            by_id, changed = self._blocks.by_id, self._journal.since(since)
            blocks = dict(by_id) if changed is None else {rule_id: by_id.get(rule_id) for rule_id in changed}
            ruled = self._policy_version, self._policy, self._offset, self._never_block
            return InForce(self._version, *ruled, blocks, changed is None)

    def prepare(self, policy: Policy) -> PreparedPolicy:
        """Compile ``policy`` for ``swap`` while blocks and decisions go on. Raises ``PlanError``."""
        moment = self._wall_clock(), self._clock_offset()
        with self._lock:
            settings = CompileSettings(*moment, self._default, self._never_block, self._events.custom_labels)
            (ruled, tables), follows = self._cores.prepare(policy), self._policy_version
        return prepare_policy(policy, ruled, tables, settings, follows)

    def swap(self, policy: Policy | PreparedPolicy) -> None:
        """Put ``policy`` in force at once. Counters, penalties, blocks and leases stay.

        Raises ``PlanError``; then the previous policy stays in force.
        """
        ready = policy if isinstance(policy, PreparedPolicy) else self.prepare(policy)
        with self._lock, collector_paused():
            if ready.follows != self._policy_version:
                ready = self.prepare(ready.policy)
            plan = replace(ready.plan, version=self._version + 1)
            self._core = self._cores.publish(plan, ready.tables)
            self._policy, self._plan, self._offset = ready.policy, plan, ready.clock_offset
            self._version = self._policy_version = plan.version
            self._texts, self._next_change = ready.texts, ready.next_change
            self.detectors.set_thresholds(ready.policy.detectors or Thresholds())
            self._events = EventNames(plan.event_labels)
            self._numbers = self._events.numbers

    def refresh(self) -> bool:
        """Apply schedules: recompile if a scheduled rule begins or ends. Returns whether it did.

        Call every few seconds, since cores know no calendar. Costs little when no schedule is due.
        """
        with self._lock:
            policy, due = self._policy, self._next_change
        if due is None or self._wall_clock() < due:
            return False
        ready = self.prepare(policy)
        with self._lock:
            if is_current := self._policy is policy:  # another one was compiled by a later clock
                self.swap(ready)
            return is_current

    # -- decisions

    def decide(
        self,
        event: EventName,
        address: Address,
        *,
        port: int | None = None,
        user: str | None = None,
        groups: Iterable[str] = (),
        now: float | None = None,
        verified: bool = True,
        local_port: int | None = None,
        protocol: int | None = None,
    ) -> Verdict:
        """Decide, and count the event.

        A malformed address, event or time is refused with ``invalid_request`` and never raises, because callers pass
        on what peers sent. ``verified=False`` marks a source that may be spoofed: it is limited apart from verified
        ones and earns no penalty. With ``user``, rules about users are checked after all else accepts, and a successful
        login pays back failures of that user. ``port`` (of the source), ``local_port`` and ``protocol`` (6: TCP, 17:
        UDP) matter to wolfSentry's routes only.
        """
        moment = self._clock() if now is None else now
        number = self._numbers.get(event)
        if number is None or not is_time(moment):
            return INVALID
        if user is None and self.decisions is None and port is None and local_port is None and protocol is None:
            return self._core.answer(address, number, moment, verified)
        source, target, number_of_protocol = port or 0, local_port or 0, protocol or 0
        if not 0 <= source | target | number_of_protocol <= 65_535:  # each has 16 bits
            return INVALID
        try:
            request = Request(pack_address(address), number, moment, source, target, number_of_protocol, verified)
        except AddressError:
            return INVALID
        return self._decide_and_log(request, user, tuple(groups))

    def decide_many(
        self, event: EventName, addresses: Sequence[Address], *, now: float | None = None
    ) -> Sequence[Verdict]:
        """``decide`` for each address at one time, in their order. A verdict is made when it is read."""
        moment = self._now(now)
        number = self._numbers.get(event)
        if number is None or not is_time(moment):
            return [INVALID] * len(addresses)
        return self._core.answer_many(addresses, number, moment)

    def decide_packed(self, event: EventName, addresses: bytes, *, now: float | None = None) -> array[int]:
        """``decide_many`` for bulk work on ``pack_address`` values, 16 bytes each, joined.

        Returns one 64-bit word per address; ``read_word`` tells its action and reason. Raises ``ValueError`` unless
        the length is a multiple of 16.
        """
        if len(addresses) % 16:
            raise ValueError(f"addresses are 16 bytes each, {len(addresses)} is no multiple")
        moment, number = self._now(now), self._numbers.get(event)
        if number is None or not is_time(moment):
            return array("Q", [INVALID_WORD]) * (len(addresses) // 16)
        return self._core.answer_words(addresses, number, moment)

    def explain(
        self,
        address: Address,
        *,
        event: EventName = Event.CONNECT,
        user: str | None = None,
        groups: Iterable[str] = (),
        now: float | None = None,
    ) -> Explanation:
        """The verdict that ``decide`` would give, with every tier. Counts nothing. Raises ``ValueError``."""
        request = Request(pack_address(address), self.event_number(event), self._now(now))
        verdict, steps = self._core.trace(request)
        if user is not None:
            verdict, steps = add_user_step(verdict, steps, user, self._check_user(user, tuple(groups), request))
        return Explanation(render_address(request.address), self.event_label(event), verdict, tuple(steps))

    def judge_connected(
        self, address: Address, *, user: str, groups: Iterable[str] = (), now: float | None = None
    ) -> Verdict:
        """The verdict on a connected client by the policy in force. Counts nothing. Raises ``AddressError``.

        Neither rate limits nor penalties with an end apply: other hosts behind the same address may cause them.
        """
        request = Request(pack_address(address), Event.CONNECT, self._now(now))
        verdict = decide_connected(self._core, request)
        return self._check_user(user, tuple(groups), request) or verdict if verdict.accepted else verdict

    def event_number(self, event: EventName) -> int:
        """Raises ``ValueError`` for an event that is neither built in nor declared by the policy."""
        return self._events.number_of(event)

    def event_label(self, event: EventName) -> str:
        """Raises ``ValueError`` as ``event_number``."""
        return self._events.label_of(self.event_number(event))

    # -- blocks

    def block(self, network: Network, *, rule_id: str, text: str = "", expires_at: float | None = None) -> None:
        """Refuse ``network`` until ``expires_at`` (Unix time) or ``unblock``. Replaces the block of the same id.

        The end is converted to the engine's clock now: a later jump of the wall clock moves no end.

        Raises ``ValueError`` for a malformed network, for host bits, and beyond ``MAX_BLOCKS``.
        """
        self.block_many([make_block(rule_id, Prefixes.of(network), text, expires_at)])

    def block_many(self, rules: Iterable[PrefixRule]) -> None:
        """``block`` for several rules, of one network each."""
        with self._lock:
            self._drop_expired_blocks()
            offset = self._clock_offset()
            blocks = [to_blocked_network(rule, offset) for rule in rules]
            self._blocks.check_room(blocks)
            self._cores.put_blocks(blocks)
            self._blocks.put(blocks)
            self._note_blocks([block.rule_id for block in blocks])

    def unblock(self, rule_id: str) -> bool:
        """Remove a block. Returns whether there was one."""
        with self._lock:
            self._drop_expired_blocks()
            if not self._blocks.remove(rule_id):
                return False
            self._cores.remove_blocks([rule_id])
            self._note_blocks([rule_id])
            return True

    def blocks(self) -> tuple[PrefixRule, ...]:
        """The blocks in force, without expired ones. Their ends are Unix time by the wall clock of now."""
        with self._lock:
            self._drop_expired_blocks()
            blocks, offset = tuple(self._blocks.by_id.values()), self._clock_offset()
        return tuple(to_rule(block, offset) for block in blocks)

    def find_blocks(self, addresses: Iterable[Address], now: float | None = None) -> list[PrefixRule]:
        """The most specific block of each address, each block once. Raises ``AddressError``."""
        moment, offset = self._now(now), self._clock_offset()
        with self._lock:
            found = {self._cores.inner.find_block(pack_address(address), moment) for address in addresses}
            blocks = [self._blocks.by_id.get(rule_id) for rule_id in found if rule_id is not None]
        return [to_rule(block, offset) for block in blocks if block is not None]

    def would_block(self, network: Network, address: Address, now: float | None = None) -> bool:
        """True if a block of ``network`` would refuse ``address``."""
        return would_block(self._core, network, address, self._now(now))

    def _drop_expired_blocks(self) -> None:
        """Free what the cores no longer match."""
        if expired := self._blocks.take_expired(self._clock()):
            self._cores.remove_blocks(expired)
            self._note_blocks(expired)

    def _note_blocks(self, rule_ids: Sequence[str]) -> None:
        self._version += 1
        self._journal.note(self._version, rule_ids)

    # -- penalties

    def penalties(self, now: float | None = None) -> list[Penalty]:
        """The penalties in force. ``Penalty.until`` is in the engine's clock."""
        return self._core.penalties(self._now(now))

    def penalize(
        self, network: Network, seconds: float, *, reason: Reason, rule_id: str | None = None, now: float | None = None
    ) -> None:
        """Put ``network`` in the penalty box for ``seconds``; ``inf``: until it is cleared."""
        packed, length = pack_network(network)
        self._core.penalize(packed, length, self._now(now) + seconds, reason, rule_id)

    def clear_penalties(self, network: Network, now: float | None = None) -> int:
        """End the penalties inside ``network``, and forget its strikes and windows. Returns how many ended.

        A wider penalty that covers the network ends too, because it would still refuse it.
        """
        return clear_penalties(self._core, *pack_network(network), self._now(now))

    # -- saved state

    def export_penalties(self, now: float | None = None) -> tuple[SavedPenalty, ...]:
        """The penalties in force, in Unix time."""
        return state_transfer.export_penalties(self._core, self._now(now), self._clock_offset())

    def sources(self, now: float | None = None) -> tuple[SavedSource, ...]:
        """The sources with events that still count or strikes, at most ``MAX_SOURCES`` with the most. In Unix time.

        Walks all of them: for a thread, one at a time.
        """
        return state_transfer.export_sources(self._subject(), self._now(now))[0]

    def export_state(self, now: float | None = None) -> State:
        """Penalties and blocks in force, and what is known of sources and users, in Unix time."""
        subject, blocks = self._subject(), self.blocks()
        return state_transfer.export_state(subject, blocks, self._now(now))

    def take_changes(self) -> Iterator[StateChanges]:
        """What changed of the saved state, without blocks, since the last call. In parts, read as they are asked for.

        For one caller at a time. Raises ``ChangesUnknownError``: save ``take_state``.
        """
        return self._changes.take(self._subject())

    def take_state(self) -> WholeState:
        """All of the saved state but blocks, for a caller to whom ``take_changes`` could not tell the changes."""
        return take_whole(self._subject())

    def _subject(self) -> state_transfer.Subject:
        with self._lock:
            core, labels = self._core, self._events.custom_labels
        return state_transfer.Subject(core, self.detectors, self._clock, self._clock_offset(), labels, self._name_event)

    def _name_event(self, number: int) -> str:
        try:
            return self._events.label_of(number)
        except KeyError:  # of a policy that is in force since a moment
            with self._lock:
                return self._events.label_of(number)

    def import_state(self, state: State) -> int:
        """Add the state of an earlier engine to this one. Returns how many penalties are in force of it.

        Past penalties are skipped; events count under the limits in force. Call once, before the first decision:
        events that are imported twice count twice.
        """
        if state.blocks:
            self.block_many(state_transfer.import_blocks(state.blocks))
        return state_transfer.import_state(self._subject(), state, self._numbers.get)

    def _clock_offset(self) -> float:
        """Unix time minus the engine's clock, in seconds, by the wall clock of now."""
        return self._wall_clock() - self._clock()

    # -- clients

    def admit(
        self,
        user: str,
        address: Address,
        *,
        now: float | None = None,
        groups: Iterable[str] = (),
        device: str | None = None,
        limit: int | None = None,
        session: str | None = None,
        restored: bool = False,
    ) -> Lease:
        """Decide ``session_start``, count the client and return its lease. Raises ``AdmissionRefused``.

        A ``session`` that holds a lease, or is ``restored`` from a former process, is a known client: the policy is
        checked, but no event is counted.
        """
        moment = self._now(now)
        try:
            request = Request(pack_address(address), Event.SESSION_START, moment)
        except AddressError:
            raise refuse_admission(INVALID) from None
        if not is_time(moment):
            raise refuse_admission(INVALID)
        belongs, known = tuple(groups), restored or self._leases.find(user, session)
        verdict = decide_connected(self._core, request) if known else self._decide_and_log(request, user, belongs)
        if known and verdict.accepted:
            verdict = self._check_user(user, belongs, request) or verdict
        if not verdict.accepted:
            raise refuse_admission(verdict)
        source = render_address(request.address)
        most = limit_of(self._policy.user_rules, user, belongs) if limit is None else limit
        return self._leases.admit(user, source, now=moment, groups=belongs, device=device, limit=most, session=session)

    def release(self, lease: Lease) -> bool:
        """End a lease. Returns whether this call did. A repeated call or an older generation changes nothing."""
        return self._leases.release(lease)

    def leases(self, user: str | None = None) -> list[Lease]:
        """Leases in order of admission, of one user or of all."""
        return self._leases.list(user)

    @property
    def limits(self) -> ClientLimits:
        return self._leases.limits

    def set_limits(self, limits: ClientLimits) -> None:
        """Put ``limits`` in force for admissions to come. Leases stay."""
        self._leases.limits = limits

    # -- the core

    @property
    def gate_address(self) -> int:
        """Address of the core's ``struct se_gate``, valid until ``close``. Native cores only."""
        return self._cores.gate_address()

    def rule_text(self, rule_id: str) -> str:
        """The description of a rule or block; empty if it has none or does not exist."""
        block = self._blocks.by_id.get(rule_id)
        return block.text if block is not None else self._texts.get(rule_id, "")

    def rule_hits(self) -> dict[str, int]:
        """Number of verdicts by rule id."""
        return self._core.rule_hits()

    def counters(self) -> CoreCounters:
        return self._core.counters()

    def close(self) -> None:
        """Free the cores. Requires that no thread calls the engine or its gate."""
        self._cores.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decide_and_log(self, request: Request, user: str | None, groups: tuple[str, ...]) -> Verdict:
        began = time.perf_counter()
        verdict, note = self._core.decide(request), ""
        if user is not None and self._policy.user_rules and verdict.accepted:
            verdict = self._check_user(user, groups, request) or verdict
        if user is not None and request.event in LOGIN_EVENTS:
            core, plan = self._core, self._plan
            source = find_source(plan, request.address)
            settle_failures(core, self._unpaid, plan, user, request, verdict, source)
            verdict, note = observe_login(core, self.detectors, self._policy, user, request, verdict, source)
        if self.decisions is not None:
            at, label = request.now + self._offset, self._events.label_of(request.event)
            latency = time.perf_counter() - began
            self.decisions.add(at, label, request.address, user, verdict, latency, note)
        return verdict

    def _check_user(self, user: str, groups: tuple[str, ...], request: Request) -> Verdict | None:
        return check_user_rules(self._policy, user, groups, request, request.now + self._offset)

    def _now(self, now: float | None) -> float:
        return self._clock() if now is None else now
