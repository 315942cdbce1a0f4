# SPDX-License-Identifier: GPL-3.0-or-later
"""HEAD for every resource that has GET, and the ``Allow`` header of a 405 (RFC 9110, 9.3.2 and 10.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class HeadRequests:
    """ASGI middleware: answers HEAD with the head of the answer to GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_head(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        async def receive_until_the_head() -> Message:
            if begun:
                return {"type": "http.disconnect"}  # ends a stream, which has no end of its own
            return await receive()

        await self._app({**scope, "method": "GET"}, receive_until_the_head, send_head)


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """Returns the methods of the resource that ``scope`` names, sorted. Empty: no such resource."""
    found = [method for method in METHODS if any(_answers(route, {**scope, "method": method}) for route in routes)]
    return sorted([*found, "HEAD"] if "GET" in found else found)


def _answers(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is Match.FULL
