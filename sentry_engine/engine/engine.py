# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: one policy in force, one core that answers by it, and the table of who is in.

Time is an argument (``now``, seconds of the engine's clock, by default the monotonic one). What depends on calendar
time (the expiry of rules) is compiled into that clock when a policy is put in force, through ``wall_clock``.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import isfinite
from threading import RLock
from typing import Self

from sentry_engine.addresses import (
    Address,
    AddressError,
    Network,
    contains,
    covers,
    pack_address,
    pack_network,
    render_address,
    render_network,
    split_network,
)
from sentry_engine.collector import collector_paused
from sentry_engine.cores.factory import CoreName, make_core
from sentry_engine.cores.interface import Core, CoreCounters, Penalty, Request, Step
from sentry_engine.cores.plan import find_source
from sentry_engine.detectors import Attempt, DetectorSet, Response, Thresholds
from sentry_engine.engine.core_stack import CoreStack
from sentry_engine.engine.decision_log import DecisionLog
from sentry_engine.engine.event_names import EVENT_LABELS, EVENT_NUMBERS, LOGINS, EventName
from sentry_engine.engine.explanation import Explanation
from sentry_engine.engine.leases import AdmissionRefused, ClientLimits, Lease, LeaseTable
from sentry_engine.engine.saved_state import SavedBlock, SavedPenalty, State
from sentry_engine.engine.state_transfer import (
    export_penalties,
    export_sources,
    export_users,
    import_penalties,
    import_sources,
    import_users,
)
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION
from sentry_engine.policy.compiler import CompileSettings, append_blocks, compile_policy
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import PrefixRule
from sentry_engine.rules.user_rules import REFUSAL_TEXTS, judge_user, limit_of
from sentry_engine.verdict import FIRST_CUSTOM_EVENT, INVALID, Action, Event, Reason, Verdict, write_word

MAX_BLOCKS = 100_000  # set through the API at a time; longer lists are feeds
BLOCK_ORIGIN = Origin("api", "")
INVALID_WORD = write_word(INVALID.action, INVALID.reason)

Clock = Callable[[], float]


class Engine:
    """All methods may be called from any thread."""

    def __init__(
        self,
        policy: Policy,
        *,
        core: CoreName | Core = "native",
        limits: ClientLimits | None = None,
        never_block: Iterable[Network] = (),
        default: Action | str = Action.ACCEPT,
        decisions: DecisionLog | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        """``default`` holds where the policy states none. ``never_block`` is the operator's own networks.

        ``decisions`` is where what is decided here is logged; what a packet mover asks through the gate is not. With
        ``core="wolfsentry"`` configurations of wolfSentry run on libwolfsentry, and all else on the native core.
        """
        if Action(default) is Action.RATE_LIMITED:
            raise ValueError("the default is accept or reject")
        self._clock = clock
        self._wall_clock = wall_clock
        self._default = Action(default)
        self._never_block = Prefixes.of(*never_block)
        self._lock = RLock()
        self._cores = CoreStack(core, make_core)
        self._core = self._cores.inner
        self._leases = LeaseTable(limits or ClientLimits())
        self.decisions = decisions
        self.detectors = DetectorSet()
        self._blocks: dict[str, PrefixRule] = {}
        self._version = 0
        self._next_change: float | None = None
        self._labels: dict[str, int] = {}
        self._numbers: dict[EventName, int] = {}
        self.swap(policy)

    # -- the policy in force

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def version(self) -> int:
        """Rises with every change of what is in force: a swap, a block, its removal."""
        return self._version

    @property
    def never_block(self) -> Prefixes:
        """What nothing may refuse, whatever the policy says."""
        return self._never_block

    def swap(self, policy: Policy) -> None:
        """Put ``policy`` in force at once. Counters, penalties, blocks and leases stay. Raises ``PlanError``, and
        then the policy before stays in force."""
        with self._lock, collector_paused():
            offset = self._clock_offset()
            known = tuple(sorted(self._labels, key=self._labels.__getitem__))
            wall_now = self._wall_clock()
            settings = CompileSettings(wall_now, offset, self._default, self._never_block, known)
            ruled, routed = self._cores.prepare(policy)
            base = compile_policy(ruled, settings, version=self._version + 1)
            texts, next_change = policy.texts(), policy.next_change(wall_now)
            plan = append_blocks(base, tuple(self._blocks.values()), version=base.version, clock_offset=offset)
            self._core = self._cores.publish(plan, routed)
            self._policy, self._base, self._offset = policy, base, offset
            self._version = base.version
            self._texts, self._next_change = texts, next_change
            self.detectors.set_thresholds(policy.detectors or Thresholds())
            self._labels = {label: FIRST_CUSTOM_EVENT + i for i, label in enumerate(base.event_labels)}
            self._numbers = dict(EVENT_NUMBERS)
            for label, number in self._labels.items():
                self._numbers[label] = self._numbers[number] = number

    def refresh(self) -> bool:
        """Put rules with a schedule in or out of force if it is time; whether anything changed. Cheap when it is not.

        The core asks no calendar, so somebody calls this every few seconds.
        """
        with self._lock:
            due = self._next_change is not None and self._wall_clock() >= self._next_change
            if due:
                self.swap(self._policy)
            return due

    # -- questions

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
        """Answer, and count the event.

        An address, event or time that cannot be understood is refused with ``invalid_request``: the caller passes on
        what strangers sent, and a refusal is the answer to that, not an exception. ``verified=False`` says that the
        source may be spoofed: it is limited by the sketch and earns no penalty for whom it names. With ``user`` the
        rules about users are asked too, once everything else accepts. ``port`` is the source's; it, ``local_port`` and
        ``protocol`` (6: TCP, 17: UDP) matter to routes of wolfSentry's configuration only.
        """
        moment = self._clock() if now is None else now
        number = self._numbers.get(event)
        if number is None or not isfinite(moment):
            return INVALID
        if user is None and self.decisions is None and port is None and local_port is None and protocol is None:
            return self._core.answer(address, number, moment, verified)
        ports = (port or 0, local_port or 0, protocol or 0)
        if not all(0 <= n <= 65_535 for n in ports):
            return INVALID
        try:
            request = Request(pack_address(address), number, moment, *ports, verified=verified)
        except AddressError:
            return INVALID
        return self._decide_and_log(request, user, tuple(groups))

    def decide_many(self, event: EventName, addresses: Sequence[Address], *, now: float | None = None) -> list[Verdict]:
        """``decide`` for each address, at one time."""
        moment = self._now(now)
        number = self._numbers.get(event)
        if number is None or not isfinite(moment):
            return [INVALID] * len(addresses)
        return self._core.answer_many(addresses, number, moment)

    def decide_packed(self, event: EventName, addresses: bytes, *, now: float | None = None) -> array[int]:
        """``decide_many`` for bulk work: 16 bytes of each address (``pack_address``), joined, and a 64-bit word for
        each answer, of which ``read_word`` tells action and reason. Raises ``ValueError`` unless the bytes are whole
        addresses.
        """
        if len(addresses) % 16:
            raise ValueError(f"addresses are 16 bytes each, {len(addresses)} is no multiple")
        moment, number = self._now(now), self._numbers.get(event)
        if number is None or not isfinite(moment):
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
        """The verdict that ``decide`` would give, and why. Counts nothing. Raises ``ValueError`` for what it cannot
        parse.
        """
        request = Request(pack_address(address), self.event_number(event), self._now(now))
        verdict, steps = self._core.trace(request)
        if user is not None:
            refusal = self._judge_user(user, tuple(groups), request)
            if refusal is None:
                steps.append(Step("user", None, None, None, None, decisive=False))
            else:
                decides = verdict.accepted
                steps = [replace(step, decisive=False) for step in steps] if decides else steps
                steps.append(Step("user", user, refusal.rule_id, refusal.action, refusal.reason, decisive=decides))
                verdict = refusal if decides else verdict
        return Explanation(render_address(request.address), self.event_label(event), verdict, tuple(steps))

    def event_number(self, event: EventName) -> int:
        """Raises ``ValueError`` for an event that neither is built in nor in the policy."""
        number = self._numbers.get(event)
        if number is None:
            raise ValueError(f"unknown event {event!r}")
        return number

    def event_label(self, event: EventName) -> str:
        return self._label_of(self.event_number(event))

    def _label_of(self, number: int) -> str:
        label = EVENT_LABELS.get(number)
        if label is not None:
            return label
        return next(label for label, n in self._labels.items() if n == number)

    # -- blocks

    def block(self, network: Network, *, rule_id: str, text: str = "", expires_at: float | None = None) -> None:
        """Refuse ``network``, at once and until ``expires_at`` (Unix time) or ``unblock``. Replaces a block of the same
        id.

        Raises ``ValueError`` for what is no network, has host bits, or when there are ``MAX_BLOCKS`` already.
        """
        self.block_many([PrefixRule(rule_id, Action.REJECT, Prefixes.of(network), BLOCK_ORIGIN, text, expires_at)])

    def block_many(self, rules: Iterable[PrefixRule]) -> None:
        """As ``block``, in one change."""
        with self._lock:
            blocks = self._blocks | {rule.id: rule for rule in rules}
            if len(blocks) > MAX_BLOCKS:
                raise ValueError(f"{MAX_BLOCKS} blocks are the most; longer lists are read as feeds")
            self._put_blocks(blocks)

    def unblock(self, rule_id: str) -> bool:
        """Whether there was such a block."""
        with self._lock:
            if rule_id not in self._blocks:
                return False
            self._put_blocks({known: rule for known, rule in self._blocks.items() if known != rule_id})
            return True

    def blocks(self) -> tuple[PrefixRule, ...]:
        """Expired ones are left out."""
        wall = self._wall_clock()
        return tuple(b for b in self._blocks.values() if b.expires_at is None or wall < b.expires_at)

    def would_block(self, network: Network, address: Address, now: float | None = None) -> bool:
        """Whether ``address`` would be refused if ``network`` were blocked."""
        blocked, length = pack_network(network)
        packed = pack_address(address)
        if not contains(blocked, length, packed):
            return False
        _, steps = self._core.trace(Request(packed, Event.CONNECT, self._now(now)))
        by_tier = {step.tier: step for step in steps}
        if by_tier["never_block"].matched is not None:
            return False
        rule = by_tier["rules"]
        if rule.matched is None or rule.action is Action.REJECT:
            return True
        return split_network(rule.matched)[1] < length

    def _put_blocks(self, blocks: dict[str, PrefixRule]) -> None:
        wall = self._wall_clock()
        live = {known: rule for known, rule in blocks.items() if rule.expires_at is None or wall < rule.expires_at}
        version = self._version + 1
        plan = append_blocks(self._base, tuple(live.values()), version=version, clock_offset=self._offset)
        self._core.publish(plan)
        self._blocks, self._version = live, version

    # -- penalties

    def penalties(self, now: float | None = None) -> list[Penalty]:
        """In force now. ``Penalty.until`` is in the engine's clock."""
        return self._core.penalties(self._now(now))

    def penalize(
        self, network: Network, seconds: float, *, reason: Reason, rule_id: str | None = None, now: float | None = None
    ) -> None:
        """Put ``network`` in the penalty box for ``seconds`` (``inf``: until it is forgiven)."""
        packed, length = pack_network(network)
        self._core.penalize(packed, length, self._now(now) + seconds, reason, rule_id)

    def clear_penalties(self, network: Network, now: float | None = None) -> int:
        """End the penalties inside ``network`` and forget what led to them; returns how many ended.

        A wider penalty that covers the network ends too: nothing less would let it in.
        """
        moment = self._now(now)
        packed, length = pack_network(network)
        wider = [
            p
            for p in self._core.penalties(moment)
            if p.length < length and covers((p.network, p.length), (packed, length))
        ]
        ended = self._core.clear_penalties(packed, length, moment)
        return ended + sum(self._core.clear_penalties(p.network, p.length, moment) for p in wider)

    # -- state over a restart

    def export_penalties(self, now: float | None = None) -> tuple[SavedPenalty, ...]:
        """Those in force, in Unix time."""
        return export_penalties(self._core, self._now(now), self._clock_offset())

    def export_state(self, now: float | None = None) -> State:
        """Penalties and blocks in force, and what is remembered of sources and users besides, in Unix time."""
        moment, offset = self._now(now), self._clock_offset()
        sources, left_out = export_sources(self._core, moment, offset, self._label_of)
        blocks = tuple(
            SavedBlock(b.id, tuple(render_network(*row) for row in b.prefixes), b.description, b.expires_at)
            for b in self.blocks()
        )
        users = export_users(self.detectors, offset)
        return State(self.export_penalties(moment), blocks, sources, users, left_out)

    def import_state(self, state: State) -> int:
        """Put back what an earlier engine knew, beside what there is: past penalties do nothing, and what sources did
        counts under the limits in force. Returns how many penalties there were. Meant for once, before the first
        question: events that are put back twice count twice.
        """
        now, offset = self._clock(), self._clock_offset()
        restored = import_penalties(self._core, state.penalties, now, offset)
        import_sources(self._core, state.sources, now, offset, self._numbers.get)
        import_users(self.detectors, state.users, now, offset)
        made = [
            PrefixRule(b.id, Action.REJECT, Prefixes.of(*b.networks), BLOCK_ORIGIN, b.text, b.expires_at)
            for b in state.blocks
        ]
        if made:
            self.block_many(made)
        return restored

    def _clock_offset(self) -> float:
        """What to add to the engine's time for Unix time, by what the wall clock shows now."""
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
    ) -> Lease:
        """Let a client in, or raise ``AdmissionRefused``. Asks the policy about ``session_start`` and counts the
        client.

        A ``session`` that holds a lease is the same client: the policy is asked, but no event is counted.
        """
        moment = self._now(now)
        try:
            request = Request(pack_address(address), Event.SESSION_START, moment)
        except AddressError:
            raise AdmissionRefused(INVALID, "The request cannot be understood.") from None
        if not isfinite(moment):
            raise AdmissionRefused(INVALID, "The request cannot be understood.")
        belongs, known = tuple(groups), self._leases.find(user, session)
        verdict = self._ask_uncounted(request) if known else self._decide_and_log(request, user, belongs)
        if known and verdict.accepted:
            verdict = self._judge_user(user, belongs, request) or verdict
        if not verdict.accepted:
            text = REFUSAL_TEXTS.get(verdict.reason, "Access from this address is not allowed at present.")
            raise AdmissionRefused(verdict, text)
        return self._leases.admit(
            user,
            render_address(request.address),
            now=moment,
            groups=belongs,
            device=device,
            limit=limit_of(self._policy.user_rules, user, belongs) if limit is None else limit,
            session=session,
        )

    def _ask_uncounted(self, request: Request) -> Verdict:
        """The verdict on a source that is in already: its rules and penalties hold, its rates were paid for."""
        verdict, steps = self._core.trace(request)
        limited = any(step.decisive and step.tier == "limits" for step in steps)
        return Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT) if limited else verdict

    def release(self, lease: Lease) -> bool:
        """Whether this call ended the lease; calling it again, or for an older generation, changes nothing."""
        return self._leases.release(lease)

    def leases(self, user: str | None = None) -> list[Lease]:
        """In order of admission."""
        return self._leases.list(user)

    @property
    def limits(self) -> ClientLimits:
        return self._leases.limits

    # -- the core

    @property
    def gate_address(self) -> int:
        """The address of the core's ``struct se_gate``, valid until ``close``. Only the native core has one."""
        return self._cores.gate_address()

    def rule_text(self, rule_id: str) -> str:
        """What is written about a rule or block, for people; empty where nothing is, or no such rule."""
        block = self._blocks.get(rule_id)
        return block.description if block is not None else self._texts.get(rule_id, "")

    def rule_hits(self) -> dict[str, int]:
        """How often each rule gave a verdict."""
        return self._core.rule_hits()

    def counters(self) -> CoreCounters:
        return self._core.counters()

    def close(self) -> None:
        """Give the core's memory back. No thread may be asking, here or through the gate."""
        self._cores.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch_login(self, user: str, request: Request, verdict: Verdict) -> tuple[Verdict, str]:
        """Show a login to the detectors; the verdict as they leave it, and what they say."""
        source = find_source(self._base, request.address)
        places = self._policy.geo_lookup
        place = places.find(render_address(request.address)) if places else UNKNOWN_LOCATION
        success = request.event == Event.AUTH_SUCCESS and verdict.accepted
        found = self.detectors.observe(Attempt(user, source, request.now, success, place))
        for suspicion in found:
            if suspicion.response is Response.PENALISE:
                self._core.penalize(*source, request.now + suspicion.penalty, suspicion.reason, None)
            elif suspicion.response is Response.DENY and verdict.accepted:
                verdict = Verdict(Action.REJECT, suspicion.reason)
        return verdict, "; ".join(suspicion.text for suspicion in found)

    def _decide_and_log(self, request: Request, user: str | None, groups: tuple[str, ...]) -> Verdict:
        began = time.perf_counter()
        verdict, note = self._core.decide(request), ""
        if user is not None and verdict.accepted:
            verdict = self._judge_user(user, groups, request) or verdict
        if user is not None and request.event in LOGINS:
            verdict, note = self._watch_login(user, request, verdict)
        if self.decisions is not None:
            at, label = request.now + self._offset, self._label_of(request.event)
            latency = time.perf_counter() - began
            self.decisions.add(at, label, request.address, user, verdict, latency, note)
        return verdict

    def _judge_user(self, user: str, groups: tuple[str, ...], request: Request) -> Verdict | None:
        policy = self._policy
        if not policy.user_rules:
            return None

        def country_of() -> str:
            return policy.geo_lookup.find(render_address(request.address)).country if policy.geo_lookup else ""

        return judge_user(policy.user_rules, user, groups, request.address, request.now + self._offset, country_of)

    def _now(self, now: float | None) -> float:
        return self._clock() if now is None else now
