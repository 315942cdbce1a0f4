# SPDX-License-Identifier: GPL-3.0-or-later
"""The route table: verdicts of wolfSentry 1.6.3 by the best route, its flags and its counters.

Steps of a dispatch: find the route by priority, then exactness; postpone its removal and remove a stale one; count the
caller's results (connect, disconnect, derogatory, commendable); end an expired penalty. Then a penalty-boxed route
rejects, a reached threshold boxes and rejects, a green-listed route accepts. Otherwise the default policy applies.

Version 1.6.3 as released has faults that later sources fix. Prefix lengths that are no multiple of 8 compare the wrong
bits. ``max-connection-count`` 0 accepts no connection instead of any number. Ties of exactness compare the wrong
addresses. Of several routes for all families only one is seen. They are fixed here too; ``released=True`` reproduces
them for comparison with the library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import replace

from sentry_engine.addresses import AddressError
from sentry_engine.errors import PolicyError, Problem
from sentry_engine.records import dataclass
from sentry_engine.wolfsentry.endpoint import Pattern, cut_prefix
from sentry_engine.wolfsentry.flags import DECIDED, TRACK_PEER, Flag
from sentry_engine.wolfsentry.model import Configuration, EventConfig, EventSection
from sentry_engine.wolfsentry.purge import PurgeList
from sentry_engine.wolfsentry.route import Match, Route, RouteEvent, apply_event_flags, read_route
from sentry_engine.wolfsentry.traffic import WIDTHS, Target, Traffic, make_target

COUNT_MAX = 0xFFFF  # of 16-bit counters, which saturate
MAX_TRACKED = 65_536  # routes made at run time, if the configuration sets no limit
Bucket = tuple[int, int, bytes]  # family, bits, address cut to bits


@dataclass(frozen=True, slots=True)
class Outcome:
    """``results`` in wolfSentry's names: accept, reject, fallthrough, port-reset, and those of caller and events."""

    results: frozenset[str]
    route: int | None  # index in the configuration; routes made at run time follow

    @property
    def accepted(self) -> bool:
        return "reject" not in self.results


class RouteTable:
    """One configuration in force. Not thread-safe."""

    def __init__(
        self, config: Configuration, *, file: str = "configuration", released: bool = False, now: float = 0.0
    ) -> None:
        """Raises ``PolicyError`` for unknown events, malformed addresses and duplicate routes."""
        self.config = config
        self._file = file
        self._released = released
        self._general: EventConfig = config.config_update
        self._purge = PurgeList(float(config.config_update.max_purgeable_idle_time))
        self._sorted: list[Route] = []
        self._buckets: dict[Bucket, list[Route]] = {}
        self._lengths: dict[int, set[int]] = {family: set() for family in WIDTHS}
        self._others: list[Route] = []  # searched linearly: bitmasks and routes without a remote address
        self._next_index = 0
        self._events = self._read_events()
        default = config.default_policies.default_event
        self._default_event = None if default is None else self._events[default]
        policy = config.default_policies.default_policy
        self._default = set() if policy is None else {"reject", "port-reset"} if policy == "reset" else {policy}
        self._read_routes(now)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Routes in the order of the table."""
        return tuple(self._sorted)

    def dispatch(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome:
        """Decide about traffic, and count.

        ``results`` describes the traffic (``connect``, ``derogatory`` and the like), ``event`` is an event label.
        Raises ``ValueError`` for results that are decisions and for unknown events.
        """
        if not DECIDED.isdisjoint(results):
            raise ValueError(f"a caller may not say {', '.join(sorted(DECIDED & set(results)))}")
        if event is not None and event not in self._events:
            raise ValueError(f"there is no event {event!r}")
        trigger = self._default_event if event is None else self._events[event]
        target = make_target(traffic)
        said = set(results)
        found = self._find(target, said)
        if said >= {"derogatory", "commendable"}:
            said -= {"derogatory", "commendable"}  # together they ask for a route that does not reject
        if found is not None:
            return self._follow(found, target, said, trigger, now)
        if trigger is None or not trigger.post_actions:
            return Outcome(frozenset(said | {"fallthrough"} | self._default), None)
        return self._fall_through(target, said, trigger, now)

    def preview(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome:
        """The outcome that ``dispatch`` would have. Changes nothing."""
        del event  # its actions do not affect the outcome
        found = self._find(make_target(traffic), set(results))
        if found is None:
            return Outcome(frozenset({*results, "fallthrough", *self._default}), None)
        config = self._config_of(found)
        said = add_and_clear(set(results), config)
        return Outcome(frozenset(said | self._judge(replace(found), config, said, now)), found.index)

    def knows_event(self, label: str) -> bool:
        return label in self._events

    def find(self, traffic: Traffic, results: Collection[str] = ()) -> Route | None:
        """The deciding route: the lowest priority number, then the most exact, then the last in table order."""
        return self._find(make_target(traffic), set(results))

    def _find(self, target: Target, said: set[str]) -> Route | None:
        lenient = said >= {"derogatory", "commendable"}
        best: Match | None = None
        for route in self._candidates(target):
            if (lenient and route.has(Flag.BOXED)) or not wants(route, said):
                continue
            inexact = route.match(target, released=self._released)
            if inexact is None:
                continue
            match = Match(route, inexact)
            if best is None or match.precedes(best, target, released=self._released):
                best = match
        return None if best is None else best.route

    def _candidates(self, target: Target) -> Iterator[Route]:
        """Routes that may match, in reverse table order."""
        if self._released:
            first_wild = next((route for route in self._sorted if route.has(Flag.FAMILY_WILD)), None)
            yield from (r for r in reversed(self._sorted) if r is first_wild or not r.has(Flag.FAMILY_WILD))
            return
        near = list(self._others)
        for bits in self._lengths[target.family]:
            near += self._buckets.get((target.family, bits, cut_prefix(target.remote, bits, released=False)), ())
        near.sort(key=Route.key, reverse=True)
        yield from near

    def _follow(self, route: Route, target: Target, said: set[str], trigger: RouteEvent | None, now: float) -> Outcome:
        """Apply a route to the traffic that it matches."""
        if not route.has(Flag.NO_HITS):
            route.hits += 1
        parent = route.event or self._default_event
        config = self._config_of(route)
        route.last_hit = now
        if route.purge_after:
            self._purge.hit(route, float(config.route_idle_time_for_purge), now)
        self._let_go(now)
        self._act(trigger.post_actions if trigger else (), route, target, said, now)
        add_and_clear(said, config)
        self._act(parent.match_actions if parent else (), route, target, said, now)
        said |= self._judge(route, config, said, now)
        if "reject" in said and route.has(Flag.PORT_RESET):
            said.add("port-reset")
        if "update" in said:
            self._act(parent.update_actions if parent else (), route, target, said, now)
        self._act(parent.decision_actions if parent else (), route, target, said, now)
        return Outcome(frozenset(said), route.index)

    def _fall_through(self, target: Target, said: set[str], trigger: RouteEvent, now: float) -> Outcome:
        """Handle traffic without a route when the event has actions, which may insert one."""
        config = trigger.config or self._general
        nothing = Route(-1, 0, 0, Pattern(), Pattern(), Flag(0), None)
        said.add("fallthrough")
        self._let_go(now)
        self._act(trigger.post_actions, replace(nothing, event=trigger), target, said, now)
        add_and_clear(said, config)
        parent = self._default_event
        self._act(parent.match_actions if parent else (), nothing, target, said, now)
        if said.isdisjoint({"accept", "reject"}):
            said |= {"fallthrough"} | self._default
        self._act(parent.decision_actions if parent else (), nothing, target, said, now)
        return Outcome(frozenset(said), None)

    def _config_of(self, route: Route) -> EventConfig:
        parent = route.event or self._default_event
        return (parent.config if parent else None) or self._general

    def _judge(self, route: Route, config: EventConfig, said: set[str], now: float) -> set[str]:
        """The results to add: decision, and ``update`` if a penalty ended or began."""
        if "inserted" not in said and "fallthrough" not in said and not self._count(route, config, said):
            return {"reject"}
        update = {"update"} if self._release(route, config, said, now) else set()
        if route.has(Flag.BOXED):
            return update | {"reject"}
        if over_threshold(route, config):
            route.flags |= Flag.BOXED
            route.boxed_at = now
            route.derogatory = route.commendable = 0
            return {"reject", "update"}
        if route.has(Flag.GREEN):
            return update | {"accept"}
        return update if said & {"accept", "reject"} else update | {"fallthrough"} | self._default

    def _count(self, route: Route, config: EventConfig, said: set[str]) -> bool:
        """Count the results. Returns ``False`` for a connection over the limit."""
        if "derogatory" in said:
            route.derogatory = min(route.derogatory + 1, COUNT_MAX)
        if not route.has(Flag.NO_CONNECTIONS) and (config.max_connection_count or self._released):
            if "connect" in said:
                if route.connections >= config.max_connection_count:
                    return False
                route.connections += 1
            elif "disconnect" in said:
                route.connections = max(route.connections - 1, 0)
        if "commendable" in said:
            route.commendable = min(route.commendable + 1, COUNT_MAX)
            if config.commendable_clears_derogatory:
                route.derogatory = 0
        return True

    @staticmethod
    def _release(route: Route, config: EventConfig, said: set[str], now: float) -> bool:
        """End a penalty that is over or cleared. Returns whether it did."""
        if not route.has(Flag.BOXED):
            return False
        cleared = "commendable" in said and config.commendable_clears_derogatory
        duration = config.penalty_box_duration
        if cleared or (duration and route.boxed_at is not None and now - route.boxed_at > duration):
            route.flags &= ~Flag.BOXED
            return True
        return False

    def _act(self, actions: Collection[str], route: Route, target: Target, said: set[str], now: float) -> None:
        """Run the built-in action. Other labels belong to an application."""
        if TRACK_PEER in actions and self._track(route.event, target, now):
            said.add("inserted")

    def _track(self, event: RouteEvent | None, target: Target, now: float) -> bool:
        """Insert a route for this traffic. Returns whether it is new."""
        label = event.aux or event.label if event else None
        traffic = target.traffic
        direction = Flag.INBOUND if traffic.inbound else Flag.OUTBOUND
        made = Route(
            index=self._next_index,
            family=target.family,
            protocol=traffic.protocol,
            remote=Pattern(target.remote, 8 * len(target.remote), traffic.remote.port, traffic.remote.interface),
            local=Pattern(target.local, 8 * len(target.local), traffic.local.port, traffic.local.interface),
            flags=direction | Flag.EVENT_WILD,
            event=None if label is None else self._events[label],
            last_hit=0.0,
        )
        return self._insert(made, now)

    def _insert(self, route: Route, now: float) -> bool:
        config = (route.event.config if route.event else None) or self._general
        if not apply_event_flags(route, config):
            return False
        route.inserted_at = now
        if config.route_idle_time_for_purge:
            route.purge_after = now + config.route_idle_time_for_purge
            limit = self.config.config_update.max_purgeable_routes or MAX_TRACKED
            if len(self._purge) >= limit and (stale := self._purge.take_last()):
                self._remove(stale)
        elif len(self._sorted) >= len(self.config.routes) + MAX_TRACKED:
            return False
        key = route.key()
        at = bisect_left(self._sorted, key, key=Route.key)
        if at < len(self._sorted) and self._sorted[at].key() == key:
            return False
        self._sorted.insert(at, route)
        self._index(route).append(route)
        self._next_index = route.index + 1
        if route.purge_after:
            self._purge.add(route)
        return True

    def _index(self, route: Route) -> list[Route]:
        """The list in which the route is searched."""
        if route.flags & (Flag.REMOTE_ADDRESS_WILD | Flag.REMOTE_BITMASK) or not route.family:
            return self._others
        self._lengths[route.family].add(route.remote.bits)
        address = cut_prefix(route.remote.address, route.remote.bits, released=False)
        return self._buckets.setdefault((route.family, route.remote.bits, address), [])

    def _let_go(self, now: float) -> None:
        stale = self._purge.take_stale(now)
        if stale is not None:
            self._remove(stale)

    def _remove(self, route: Route) -> None:
        del self._sorted[bisect_left(self._sorted, route.key(), key=Route.key)]
        self._index(route).remove(route)

    def _read_events(self) -> dict[str, RouteEvent]:
        problems = []
        events: dict[str, RouteEvent] = {}
        for index, section in enumerate(self.config.events):
            if section.label in events:
                problems.append(Problem(self._file, f"/events/{index}/label", "there is such an event already"))
            events[section.label] = read_event(section, self._general)
        for index, section in enumerate(self.config.events):
            if section.aux_parent_event is not None and section.aux_parent_event not in events:
                reason = f"there is no event {section.aux_parent_event!r}"
                problems.append(Problem(self._file, f"/events/{index}/aux-parent-event", reason))
        default = self.config.default_policies.default_event
        if default is not None and default not in events:
            problems.append(Problem(self._file, "/default-policies/default-event", f"there is no event {default!r}"))
        if problems:
            raise PolicyError(problems)
        return events

    def _read_routes(self, now: float) -> None:
        problems = []
        for index, section in enumerate(self.config.routes):
            pointer, label = f"/routes/{index}", section.parent_event
            if label is not None and label not in self._events:
                problems.append(Problem(self._file, pointer, f"there is no event {label!r}"))
                continue
            event = None if label is None else self._events[label]
            try:
                route = read_route(index, section, event, released=self._released)
            except AddressError as error:
                problems.append(Problem(self._file, pointer, str(error)))
                continue
            if not self._insert(route, now):
                problems.append(Problem(self._file, pointer, "a route before it matches the same traffic"))
        if problems:
            raise PolicyError(problems)


def read_event(section: EventSection, general: EventConfig) -> RouteEvent:
    return RouteEvent(
        label=section.label,
        priority=section.priority,
        config=None if section.config is None else section.config.over(general),
        aux=section.aux_parent_event,
        post_actions=(*(section.actions or ()), *(section.post_actions or ())),
        match_actions=tuple(section.match_actions or ()),
        update_actions=tuple(section.update_actions or ()),
        decision_actions=tuple(section.decision_actions or ()),
    )


def wants(route: Route, said: set[str]) -> bool:
    """True if the results pass the filter of the route's event."""
    config = route.event.config if route.event else None
    if config is None:
        return True
    return (set(config.action_res_filter_bits_set) - {"none"}) <= said and said.isdisjoint(
        config.action_res_filter_bits_unset
    )


def add_and_clear(said: set[str], config: EventConfig) -> set[str]:
    """Apply the configured additions and removals to ``said``, in place."""
    said |= set(config.action_res_bits_to_add) - {"none"}
    said -= set(config.action_res_bits_to_clear)
    return said


def over_threshold(route: Route, config: EventConfig) -> bool:
    threshold = config.derog_thresh_for_penalty_boxing
    counted = route.derogatory - (0 if config.derog_thresh_ignore_commendable else route.commendable)
    return bool(threshold) and counted >= threshold
