# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of routes that are removed after an idle time, ordered by removal, the next one last."""

from __future__ import annotations

from sentry_engine.wolfsentry.route import Route

MARGIN = 60.0  # seconds added to the idle time by a hit


class PurgeList:
    """Holds only routes whose event or configuration states an idle time."""

    def __init__(self, max_idle: float) -> None:
        """``max_idle`` is ``max-purgeable-idle-time`` in seconds; 0: none."""
        self._routes: list[Route] = []
        self._max_idle = max_idle

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, route: Route) -> None:
        at = next((i for i, r in enumerate(self._routes) if r.purge_after < route.purge_after), len(self._routes))
        self._routes.insert(at, route)

    def hit(self, route: Route, idle: float, now: float) -> None:
        """Postpone the removal of a route after a hit. The next one to remove keeps its position."""
        later = now + idle + MARGIN
        if later - route.purge_after < MARGIN:
            return
        route.purge_after = later
        if self._routes[-1] is not route:
            self._routes = [r for r in self._routes if r is not route]
            self.add(route)

    def take_stale(self, now: float) -> Route | None:
        """Remove and return the route whose time has come.

        A route with connections stays, unless ``max_idle`` is set and not exceeded: wolfSentry's behaviour, contrary to
        its documentation.
        """
        if not self._routes or self._routes[-1].purge_after > now:
            return None
        last = self._routes[-1]
        if last.connections and (not self._max_idle or now - last.last_hit > self._max_idle):
            return None
        return self._routes.pop()

    def take_last(self) -> Route | None:
        return self._routes.pop() if self._routes else None
