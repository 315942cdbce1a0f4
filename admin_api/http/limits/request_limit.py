# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits the requests over TCP that are answered at one time. Health has a limit of its own.

The Unix socket has none: its connections are limited, and they come from root and the server's own user only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from admin_api.http.paths import HEALTH_PATHS, PRINCIPAL
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.http.identity import Principal

MAX_REQUESTS = 192  # of all kinds but health, event streams included; fewer than the connections
MAX_HEALTH = 32
RETRY_AFTER = "1"


class RequestLimit:
    """ASGI middleware: answers 503 beyond the limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answering = {True: 0, False: 0}  # by whether it is a health request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        if principal is not None and principal.local:
            await self._app(scope, receive, send)
            return
        health = scope["path"] in HEALTH_PATHS
        if self._answering[health] >= (MAX_HEALTH if health else MAX_REQUESTS):
            detail = "Too many requests are being answered; repeat this one later"
            headers = {name.decode(): value.decode() for name, value in _limit_headers(health=health, left=0)}
            busy = ApiError(ProblemKind.UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER, **headers})
            await problem_response(scope, busy)(scope, receive, send)
            return
        self._answering[health] += 1
        left = (MAX_HEALTH if health else MAX_REQUESTS) - self._answering[health]

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_limit_headers(health=health, left=left)]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_limit)
        finally:
            self._answering[health] -= 1


@lru_cache(MAX_REQUESTS + MAX_HEALTH)
def _limit_headers(*, health: bool, left: int) -> tuple[tuple[bytes, bytes], ...]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers): requests that may run beside this one.

    The quota is one of places and not of time, so there is no window and no reset.
    """
    name, quota = ("health", MAX_HEALTH) if health else ("requests", MAX_REQUESTS)
    policy = f'"{name}";q={quota};qu="concurrent-requests"'
    return (b"ratelimit-policy", policy.encode()), (b"ratelimit", f'"{name}";r={left}'.encode())
