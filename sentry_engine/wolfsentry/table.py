# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts as wolfSentry 1.6.3 gives them: the best route by priority, then exactness; its flags; its counts.

Of one dispatch: find the route; count what the caller says of the traffic (connect, disconnect, derogatory,
commendable); lift a penalty that is over; then penalty-boxed rejects, a threshold that is reached boxes and rejects,
green-listed accepts, and what is left is the default policy. Not here: actions (callbacks of the application), and the
ephemeral routes that only they insert.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sentry_engine.addresses import AddressError
from sentry_engine.problems import PolicyError, Problem
from sentry_engine.wolfsentry.model import Configuration, EventConfig
from sentry_engine.wolfsentry.traffic import Match, Route, Traffic, make_side

WIDTHS = {"inet": 32, 2: 32, "inet6": 128, 10: 128}
COUNT_MAX = 0xFFFF  # of the 16-bit counters, which stop there


@dataclass(frozen=True, slots=True)
class Outcome:
    """``results`` are wolfSentry's words: accept, reject, fallthrough, port-reset and what the caller and events
    set.
    """

    results: frozenset[str]
    route: int | None  # its place in the configuration

    @property
    def accepted(self) -> bool:
        return "reject" not in self.results


class RouteTable:
    """One configuration in force. Not thread-safe: one caller at a time."""

    def __init__(self, config: Configuration, *, file: str = "configuration") -> None:
        """Raises ``PolicyError`` for routes that name no event, no address, or each other twice."""
        self._config = config
        self._file = file
        self._events = {event.label: event for event in config.events}
        self._routes: list[Route] = []
        problems = []
        for index in range(len(config.routes)):
            try:
                self._routes.append(self._make(index))
            except (AddressError, LookupError) as error:
                reason = error.args[0] if error.args else "not a route"
                problems.append(Problem(file, f"/routes/{index}", str(reason)))
        default = config.default_policies.default_event
        if default is not None and default not in self._events:
            problems.append(Problem(file, "/default-policies/default-event", f"there is no event {default!r}"))
        if problems:
            raise PolicyError(problems)
        self._routes.sort(key=Route.order)

    @property
    def routes(self) -> tuple[Route, ...]:
        return tuple(self._routes)

    def dispatch(self, traffic: Traffic, results: Collection[str] = (), *, now: float) -> Outcome:
        """``results`` is what the caller knows of the traffic: ``connect``, ``derogatory`` and the like."""
        route = self.find(traffic, results)
        if route is None:
            return Outcome(frozenset({*results, "fallthrough", *self._default()}), None)
        route.hits += 1
        label = route.event or self._config.default_policies.default_event
        config = route.config or (self._events[label].config if label else None) or self._config.config_update
        said = (set(results) | set(config.action_res_bits_to_add)) - set(config.action_res_bits_to_clear)
        said |= self._judge(route, config, said, now)
        if "reject" in said and route.port_reset:
            said.add("port-reset")
        return Outcome(frozenset(said), route.index)

    def find(self, traffic: Traffic, results: Collection[str] = ()) -> Route | None:
        """The route that decides: the lowest priority number, then the most exact, then the last in the table's
        order.
        """
        best: tuple[int, Match, Route] | None = None
        for route in reversed(self._routes):
            if not self._wants(route, results):
                continue
            match = route.match(traffic)
            if match is None:
                continue
            if best is None or route.priority < best[0] or (route.priority == best[0] and match.key() > best[1].key()):
                best = (route.priority, match, route)
        return None if best is None else best[2]

    def dump(self) -> dict[str, Any]:
        """The running state in the format it was read from: penalties set and lifted since are in it."""
        routes = []
        for route in sorted(self._routes, key=lambda r: r.index):
            document = route.section.model_dump(by_alias=True, exclude_defaults=True)
            document.pop("penalty-boxed", None)
            routes.append(document | ({"penalty-boxed": True} if route.penalty_boxed else {}))
        rest = self._config.model_dump(by_alias=True, exclude_defaults=True, exclude={"routes"})
        return {**rest, "routes": routes}

    def _judge(self, route: Route, config: EventConfig, said: set[str], now: float) -> set[str]:
        if not self._count(route, config, said):
            return {"reject"}
        self._release(route, config, said, now)
        if route.penalty_boxed:
            return {"reject"}
        if self._over_threshold(route, config):
            route.penalty_boxed, route.boxed_at = True, now
            route.derogatory = route.commendable = 0
            return {"reject"}
        if route.green_listed:
            return {"accept"}
        return set() if said & {"accept", "reject"} else {"fallthrough", *self._default()}

    @staticmethod
    def _count(route: Route, config: EventConfig, said: set[str]) -> bool:
        """Whether there is room for a connection, where this is one."""
        if "derogatory" in said:
            route.derogatory = min(route.derogatory + 1, COUNT_MAX)
        if route.count_connections and config.max_connection_count:
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
    def _release(route: Route, config: EventConfig, said: set[str], now: float) -> None:
        if not route.penalty_boxed:
            return
        cleared = "commendable" in said and config.commendable_clears_derogatory
        duration = config.penalty_box_duration
        if cleared or (duration and route.boxed_at is not None and now - route.boxed_at > duration):
            route.penalty_boxed, route.boxed_at = False, None

    @staticmethod
    def _over_threshold(route: Route, config: EventConfig) -> bool:
        threshold = config.derog_thresh_for_penalty_boxing
        counted = route.derogatory - (0 if config.derog_thresh_ignore_commendable else route.commendable)
        return bool(threshold) and counted >= threshold

    @staticmethod
    def _wants(route: Route, results: Collection[str]) -> bool:
        config = route.config
        if config is None:
            return True
        return all(bit in results for bit in config.action_res_filter_bits_set) and not any(
            bit in results for bit in config.action_res_filter_bits_unset
        )

    def _default(self) -> set[str]:
        policy = self._config.default_policies.default_policy
        return set() if policy is None else {"reject", "port-reset"} if policy == "reset" else {policy}

    def _make(self, index: int) -> Route:
        section = self._config.routes[index]
        event = None
        if section.parent_event is not None:
            if section.parent_event not in self._events:
                raise LookupError(f"there is no event {section.parent_event!r}")
            event = self._events[section.parent_event]
        width = None if section.family is None else WIDTHS[section.family]
        remote, local = make_side(section.remote, width), make_side(section.local, width)
        known = next((side.pattern.width for side in (remote, local) if side.pattern), width)
        return Route(
            index=index,
            width=known,
            protocol=section.protocol,
            remote=remote,
            local=local,
            inbound=section.direction_in,
            outbound=section.direction_out,
            green_listed=section.green_listed,
            port_reset=section.port_reset,
            count_connections=not section.dont_count_current_connections,
            event=section.parent_event,
            priority=0 if event is None else event.priority,
            config=None if event is None else event.config,
            section=section,
            penalty_boxed=section.penalty_boxed,
        )
