# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers of resources, and the table that finds a request's operation.

FastAPI keeps included routers nested and matches every level of them again for each request. Here each router makes
routes with their whole path, and the application has them in groups by the first segments of the path: a request is
compared with the routes of its own group only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from starlette.routing import BaseRoute, Match

from admin_api.http.api_route import ApiRoute
from admin_api.http.paths import API_PREFIX
from admin_api.http.query_names import refuse_unknown_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fastapi.routing import APIRoute
    from starlette.types import Receive, Scope, Send

CHOSEN = "ocsentry.route"


def operation_id(route: APIRoute) -> str:
    """Returns the name of the endpoint's function (verb_noun)."""
    return route.name


def resource_router(path: str, *, tag: str, prefix: str = API_PREFIX) -> APIRouter:
    """Returns a router whose routes stand below ``prefix`` and ``path``. They refuse unknown query parameters."""
    return APIRouter(
        prefix=prefix + path,
        tags=[tag],
        dependencies=[Depends(refuse_unknown_query)],
        route_class=ApiRoute,
        generate_unique_id_function=operation_id,
    )


class RouteGroup(BaseRoute):
    """The routes whose paths begin with ``head``, in their order."""

    def __init__(self, head: str, routes: Sequence[BaseRoute]) -> None:
        self._head = head
        self.routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not scope["path"].startswith(self._head):
            return Match.NONE, {}
        partial: Scope | None = None
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.NONE:
                continue
            child = {**child, CHOSEN: route}
            if match is Match.FULL:
                return match, child
            partial = partial or child
        return (Match.NONE, {}) if partial is None else (Match.PARTIAL, partial)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen: BaseRoute = scope[CHOSEN]
        await chosen.handle(scope, receive, send)


def group_routes(routes: Iterable[BaseRoute]) -> list[RouteGroup]:
    """Returns groups by the first segment after ``API_PREFIX``; other paths are groups of their own."""
    groups: dict[str, list[BaseRoute]] = {}
    for route in routes:
        groups.setdefault(_head_of(getattr(route, "path", "")), []).append(route)
    return [RouteGroup(head, members) for head, members in groups.items()]


def flatten_routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yields the routes of ``routes``, and those inside its groups."""
    for route in routes:
        if isinstance(route, RouteGroup):
            yield from route.routes
        else:
            yield route


def _head_of(path: str) -> str:
    if not path.startswith(f"{API_PREFIX}/"):
        return path
    segment = path.removeprefix(f"{API_PREFIX}/").partition("/")[0]
    return f"{API_PREFIX}/{segment.partition(':')[0].partition('{')[0]}"
