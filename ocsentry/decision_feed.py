# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes events of what the engine decides: what the gateway asked in C, and what logins asked in Python.

The native core notes every decision in a bounded ring of its own, which costs the gateway next to nothing; here it is
read now and then, and thinned out, so that a flood of one kind hides neither the other kind nor the other events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ocsentry.vocabulary import LogEvent
from sentry_engine import Event, Verdict
from sentry_engine.addresses import render_address
from sentry_engine.decision_log import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentry_engine.decision_log import DecisionLog
    from sentry_engine.decisions import Decision
    from sentry_engine.places import PlaceFinder
    from vpn_frontend.ports import EventSink

ACCEPTED_PER_SECOND = 5  # events; who comes in leaves a session's events too
REFUSED_PER_SECOND = 20
MOST_AT_ONCE = 1024  # records read in one go
LOGINS = frozenset({Event.AUTH_FAILURE, Event.AUTH_SUCCESS})  # the login's own record says more: the user


class WatchedCore(Protocol):
    def drain(self, limit: int) -> Sequence[Decision]: ...


class DecisionFeed:
    """``pump`` it a few times a second."""

    def __init__(
        self,
        core: WatchedCore,
        logins: DecisionLog,
        events: EventSink,
        places: Callable[[], PlaceFinder | None],
        label: Callable[[int], str],
    ) -> None:
        """``places`` gives the databases in force, where there are any; ``label`` what an event's number is called."""
        self._core = core
        self._logins = logins
        self._events = events
        self._places = places
        self._label = label
        self._accepted, self._refused = Budget(ACCEPTED_PER_SECOND), Budget(REFUSED_PER_SECOND)

    def pump(self, now: float) -> None:
        """Emit what has been decided since the last time. ``now`` is seconds of any steady clock."""
        for record in self._logins.drain(MOST_AT_ONCE):
            self._emit(now, record.event, record.packed, record.verdict, record.latency, record.user, record.note)
        for decision in self._core.drain(MOST_AT_ONCE):
            request = decision.request
            if request.event not in LOGINS:
                self._emit(now, self._name(request.event), request.address, decision.verdict, decision.latency)

    def _name(self, event: int) -> str:
        try:
            return self._label(event)
        except ValueError:
            return f"event {event}"  # of no policy: it was refused for that

    def _emit(
        self,
        now: float,
        event: str,
        packed: bytes,
        verdict: Verdict,
        latency: float,
        user: str | None = None,
        note: str = "",
    ) -> None:
        budget = self._accepted if verdict.accepted and not note else self._refused
        if not budget.spend(now):
            return
        address = render_address(packed)
        finder = self._places()
        place = finder.find(address) if finder else None
        fields = {
            "address": address,
            "event": event,
            "user": user,
            "verdict": verdict.action.value,
            "reason": verdict.reason.value,
            "rule": verdict.rule_id,
            "retry_after": verdict.retry_after,
            "latency_us": round(latency * 1e6, 3),
            "country": place.country if place else None,
            "asn": place.asn if place else None,
            "note": note or None,
            "missed": budget.take_missed() or None,
        }
        kind = LogEvent.SUSPICION if note else LogEvent.DECISION
        self._events.emit(kind, **{key: value for key, value in fields.items() if value not in (None, "")})
