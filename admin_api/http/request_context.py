# SPDX-License-Identifier: GPL-3.0-or-later
"""The outermost middleware: request id, security headers, request metrics, and the answer to unexpected errors.

An unexpected error is answered as a problem document and logged under the request's id.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.http.request_metrics import RequestMetrics

logger = logging.getLogger(__name__)

SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class RequestContext:
    """ASGI middleware around all others."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        is_unavailable: Callable[[Exception], bool] = lambda _: False,
        waits_of: Callable[[Scope], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        """``is_unavailable`` tells the errors of a database that may work again later: 503 instead of 500.

        What ``waits_of`` returns is entered while a request is carried out: how long it may wait for the database.
        """
        self._app = app
        self._waits_of = waits_of
        self._is_unavailable = is_unavailable
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.monotonic()
        status, streamed = 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = _is_event_stream(message.get("headers", []))
                message["headers"] = _complete(message.get("headers", []), request_id)
            await send(message)

        try:
            with self._waits_of(scope):
                await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if not status and self._is_unavailable(error):
                logger.warning("request %s failed: the database is not available: %s", request_id, error)
                failure = unavailable("The database does not answer; repeat the request later")
                await problem_response(scope, failure)(scope, receive, send_with_headers)
                return
            logger.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if status:
                raise  # the answer has begun: the connection must break
            failure = ApiError(ProblemKind.INTERNAL, "The server failed while answering")
            await problem_response(scope, failure)(scope, receive, send_with_headers)
        finally:
            self._metrics.count(scope["method"], status, time.monotonic() - began, streamed=streamed)


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _complete(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    added = [(name, value) for name, value in SECURITY_HEADERS if name not in present]
    return [*headers, *added, (b"x-request-id", request_id.encode())]
