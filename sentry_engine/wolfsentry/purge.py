# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that end when nothing has asked for them in a while, the one to go first at the end."""

from __future__ import annotations

from sentry_engine.wolfsentry.route import Route

MARGIN = 60.0  # seconds that a hit adds to the idle time of its event


class PurgeList:
    """Only routes whose event (or the configuration) states an idle time are in it."""

    def __init__(self, max_idle: float) -> None:
        """``max_idle`` as in ``max-purgeable-idle-time``, seconds; 0: none."""
        self._routes: list[Route] = []
        self._max_idle = max_idle

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, route: Route) -> None:
        at = next((i for i, r in enumerate(self._routes) if r.purge_after < route.purge_after), len(self._routes))
        self._routes.insert(at, route)

    def hit(self, route: Route, idle: float, now: float) -> None:
        """Put off the end of a route that was asked for. The next one to go keeps its place until it goes."""
        later = now + idle + MARGIN
        if later - route.purge_after < MARGIN:
            return
        route.purge_after = later
        if self._routes[-1] is not route:
            self._routes = [r for r in self._routes if r is not route]
            self.add(route)

    def take_stale(self, now: float) -> Route | None:
        """The route that is to go now. One with connections stays, unless ``max_idle`` is given and not over yet:
        so it is in wolfSentry, whatever its documentation says."""
        if not self._routes or self._routes[-1].purge_after > now:
            return None
        last = self._routes[-1]
        if last.connections and (not self._max_idle or now - last.last_hit > self._max_idle):
            return None
        return self._routes.pop()

    def take_last(self) -> Route | None:
        return self._routes.pop() if self._routes else None
