# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits the size of request bodies, with or without Content-Length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from admin_api.http.paths import STREAMED_PATHS
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 * 1024 * 1024  # bytes; a check of a large rule document, an import of ten thousand users
MAX_STREAMED = 256 * 1024 * 1024  # bytes of a body that is read as it arrives: a million blocks with reasons


class BodyLimit:
    """ASGI middleware: answers 413 to a body of more than ``MAX_BODY`` or ``MAX_STREAMED`` bytes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_STREAMED if scope["path"] in STREAMED_PATHS else MAX_BODY
        detail = f"The limit is {limit} bytes"
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or len(announced) > 15 or int(announced) > limit:
            await problem_response(scope, ApiError(ProblemKind.TOO_LARGE, detail))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(ProblemKind.TOO_LARGE.status, detail)
            return message

        try:
            await self._app(scope, counted, send)
        except HTTPException:  # raised by a middleware; the application answers its own
            await problem_response(scope, ApiError(ProblemKind.TOO_LARGE, detail))(scope, receive, send)


async def read_all(receive: Receive) -> bytes | None:
    """Returns the whole body; ``None`` if the client disconnects before its end."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
    return None
