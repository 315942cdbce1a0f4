# SPDX-License-Identifier: GPL-3.0-or-later
"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07, section 2): a repeated POST is carried out once.

The first answer is stored with a digest of its request for 24 hours, per caller. Errors are not stored: the corrected
request may use the same key. A body with a secret (a new token) is not stored either; its repetition gets a conflict.
While the database cannot be written, answers are not stored, and a repeated request is carried out again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import Response

from admin_api.http.body_limit import read_all
from admin_api.http.paths import API_PREFIX, PRINCIPAL, TOKENS_PATH
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemError, ProblemKind
from admin_api.store.failures import describe_failure

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.http.identity import Principal
    from admin_api.services import Services

KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
REPLAYED = "Idempotency-Replayed"  # on the answer to a repetition
KEPT_HEADERS = frozenset({"content-type", "location", "etag"})
SHOWN_ONCE = re.compile(rf"{TOKENS_PATH}|{API_PREFIX}/webhooks|{API_PREFIX}/users/[^/]+/totp(?:/confirm)?")
MAX_KEPT = 64 * 1024  # bytes of an answer; the answer to a creation is shorter
KEEP_WAIT = 2.0  # seconds that an answer waits to be stored

logger = logging.getLogger(__name__)


class Idempotency:
    """ASGI middleware: replays the stored answer of a repeated POST."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services
        self._in_flight: set[tuple[str, str]] = set()
        self._storing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        key = Headers(scope=scope).get("idempotency-key")
        if scope["method"] != "POST" or key is None or principal is None:
            await self._app(scope, receive, send)
            return
        claim = (principal.name, key)
        try:
            self._claim(claim)
        except ApiError as error:
            await problem_response(scope, error)(scope, receive, send)
            return
        try:
            await self._answer(claim, scope, receive, send)
        finally:
            self._in_flight.discard(claim)

    def _claim(self, claim: tuple[str, str]) -> None:
        if KEY_PATTERN.fullmatch(claim[1]) is None:
            detail = "the key is 1 to 255 visible ASCII characters"
            place = ProblemError(pointer="/idempotency-key", detail=detail, file="header")
            raise ApiError(ProblemKind.INVALID, detail, errors=[place])
        if claim in self._in_flight:
            raise ApiError(ProblemKind.IN_FLIGHT, "Repeat the request when the first one has been answered")
        self._in_flight.add(claim)

    async def _answer(self, claim: tuple[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_all(receive)
        if body is None:
            return  # the caller has left, and part of a body is not what it asked for
        digest = _digest(scope, body)
        async with self._services.store.read() as unit:
            kept = await unit.idempotency.get(*claim)
        if kept is None:
            await self._carry_out(claim, digest, scope, _replay(body, receive), send)
            return
        response: Response
        if kept.request_digest != digest:
            response = problem_response(scope, ApiError(ProblemKind.KEY_REUSED, "Use a new key for a new request"))
        elif not kept.body and SHOWN_ONCE.fullmatch(scope["path"]):
            response = problem_response(
                scope,
                ApiError(ProblemKind.ALREADY_EXISTS, "Created by an earlier request; its secret is shown once"),
            )
        else:
            response = Response(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})
        await response(scope, receive, send)

    async def _carry_out(
        self, claim: tuple[str, str], digest: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status, headers, content = 0, Headers(), bytearray()
        started: list[Message] = []

        async def keep(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], Headers(raw=message["headers"])
                started.append(message)
                return
            content.extend(message.get("body", b""))
            if not message.get("more_body", False):
                if 200 <= status < 300 and len(content) <= MAX_KEPT:
                    keeping = self._keep(claim, digest, scope["path"], status, headers, bytes(content))
                    await self._wait_for_store(asyncio.create_task(keeping, name="an idempotent answer"))
                await send(started[0])
                await send({"type": "http.response.body", "body": bytes(content)})

        await self._app(scope, receive, keep)

    async def _wait_for_store(self, keeping: asyncio.Task[None]) -> None:
        """Wait up to ``KEEP_WAIT`` seconds: what the caller asked for is done, whether its answer is stored or not."""
        self._storing.add(keeping)
        keeping.add_done_callback(self._storing.discard)
        await asyncio.wait({keeping}, timeout=KEEP_WAIT)

    async def _keep(
        self, claim: tuple[str, str], digest: bytes, path: str, status: int, headers: Headers, content: bytes
    ) -> None:
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        body = b"" if SHOWN_ONCE.fullmatch(path) else content
        try:
            async with self._services.store.write() as unit:
                await unit.idempotency.add(*claim, request_digest=digest, status=status, headers=kept, body=body)
        except Exception as error:  # noqa: BLE001 - any failure: the request was carried out
            logger.warning("an answer could not be stored for repetitions of its request: %s", describe_failure(error))


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a ``receive`` that yields ``body`` once, then the messages of ``receive``."""
    pending: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def _digest(scope: Scope, body: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((scope["path"].encode(), scope["query_string"], body))).digest()
