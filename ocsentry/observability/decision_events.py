# SPDX-License-Identifier: GPL-3.0-or-later
"""Emits the engine's decisions as events: those asked by the gateway in C, and those asked in Python.

The native core records every decision in a bounded ring, at next to no cost for the gateway. Decisions asked in Python
are recorded, with the user, in the engine's log. ``emit_new`` reads both under a rate limit, so that a flood of one
kind hides no other events. Each log rings a bell with its next record: nothing is read while nothing is decided. Each
decision is one event: the gateway's come from the ring only, all others from the log only.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from admin_api.clock import SYSTEM_CLOCK
from ocsentry.observability.event_catalog import LogEvent
from sentry_engine import Action, Event
from sentry_engine.engine.decision_log import Budget, Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocsentry.observability.event_sink import TimedEventSink
    from sentry_engine.cores.decision import CoreDecision
    from sentry_engine.engine.decision_log import DecisionLog
    from sentry_engine.geoip.lookup import GeoLookup

ACCEPTED_PER_SECOND = 5  # events; an accepted client also causes session events
REFUSED_PER_SECOND = 20
MAX_RECORDS = 1024  # records read in one call
DELAY = 0.25  # seconds: the longest between a decision and its event
GATEWAY_ASKS = {
    event: event.name.lower() for event in (Event.CONNECT, Event.TLS_HANDSHAKE_FAILED, Event.DTLS_HANDSHAKE)
}
GATEWAY_LABELS = frozenset(GATEWAY_ASKS.values())


class WatchedCore(Protocol):
    """The part of the native core that keeps its recent decisions."""

    def set_bell(self, bell: int) -> None: ...
    def arm_bell(self) -> None: ...

    def drain(self, limit: int, wanted: Callable[[int, Action], bool]) -> Sequence[CoreDecision]:
        """Returns up to ``limit`` decisions, oldest first, for which ``wanted(event, action)`` is true."""


class DecisionEvents:
    """Await ``follow``, or call ``emit_new`` several times per second."""

    def __init__(
        self,
        core: WatchedCore,
        log: DecisionLog,
        events: TimedEventSink,
        places: Callable[[], GeoLookup | None],
        moment: Callable[[float], datetime] = SYSTEM_CLOCK.moment,
    ) -> None:
        """``log`` is the engine's log; ``places`` returns the GeoIP databases in force, or ``None``.

        ``moment`` returns the wall time of the engine's clock. Raises ``OSError``: no descriptor is left.
        """
        self._core = core
        self._log = log
        self._events = events
        self._places = places
        self._moment = moment
        self._accepted, self._refused = Budget(ACCEPTED_PER_SECOND), Budget(REFUSED_PER_SECOND)
        try:
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError as error:
            raise OSError(error.errno, f"out of memory or descriptors: {error.strerror}") from error
        core.set_bell(self._bell)
        log.set_bell(self._bell)

    def close(self) -> None:
        """Requires a closed core: it rings the bell."""
        os.close(self._bell)

    async def follow(self, clock: Callable[[], float]) -> None:
        """Emit decisions until cancelled, ``DELAY`` seconds late at most. ``clock`` is the engine's."""
        while True:
            self._core.arm_bell()
            self._log.arm_bell()
            more = self.emit_new(clock())
            await asyncio.sleep(DELAY)
            more |= self.emit_new(clock())  # also what came while the bell was armed
            if not more:
                await self._ring()

    async def _ring(self) -> None:
        """Wait until the bell has rung since it was armed."""
        rung, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._bell, rung.set)
        try:
            await rung.wait()
        finally:
            loop.remove_reader(self._bell)
        os.eventfd_read(self._bell)

    def emit_new(self, now: float) -> bool:
        """Emit the decisions since the last call, each with the time at which it was made. True: there may be more.

        ``now`` is in seconds of the engine's clock.
        """
        asked = self._log.drain(MAX_RECORDS)
        for record in asked:
            budget = self._budget(accepted=record.verdict.accepted and not record.note)
            budget.missed += record.missed
            if record.event not in GATEWAY_LABELS and budget.spend(now):
                self._emit(replace(record, missed=budget.take_missed()))
        return max(len(asked), self._emit_gateway_decisions(now)) >= MAX_RECORDS

    def _emit_gateway_decisions(self, now: float) -> int:
        """Returns how many decisions were read."""
        missed: list[int] = []  # for each wanted decision
        count = 0

        def want(event: int, action: Action) -> bool:
            nonlocal count
            count += 1
            budget = self._budget(accepted=action is Action.ACCEPT)
            if event not in GATEWAY_ASKS or not budget.spend(now):
                return False
            missed.append(budget.take_missed())
            return True

        for decision, left_out in zip(self._core.drain(MAX_RECORDS, want), missed, strict=True):
            request, verdict = decision.request, decision.verdict
            label, at = GATEWAY_ASKS[Event(request.event)], self._moment(request.now).timestamp()
            self._emit(Decision(at, label, request.address, None, verdict, decision.latency, missed=left_out))
        return count

    def _budget(self, *, accepted: bool) -> Budget:
        return self._accepted if accepted else self._refused

    def _emit(self, decision: Decision) -> None:
        finder = self._places()
        place = finder.find(decision.address) if finder else None
        verdict = decision.verdict
        fields = {
            "address": decision.address,
            "event": decision.event,
            "user": decision.user,
            "verdict": verdict.action.value,
            "reason": verdict.reason.value,
            "rule": verdict.rule_id,
            "retry_after": verdict.retry_after,
            "latency_us": round(decision.latency * 1e6, 3),
            "country": place.country if place else None,
            "asn": place.asn if place else None,
            "note": decision.note or None,
            "missed": decision.missed or None,
        }
        kind = LogEvent.SUSPICION if decision.note else LogEvent.DECISION
        known = {key: value for key, value in fields.items() if value not in (None, "")}
        self._events.emit_at(datetime.fromtimestamp(decision.at, UTC), kind, **known)
