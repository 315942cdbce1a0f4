# SPDX-License-Identifier: GPL-3.0-or-later
"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07, section 2): a repeated POST is carried out once.

The first answer is stored with a digest of its request for 24 hours, per caller. Errors are not stored: the corrected
request may use the same key. A body with a secret (a new token) is not stored either; its repetition gets a conflict.
While the database cannot be written, answers are not stored, and a repeated request is carried out again.
A body of at most ``MAX_BODY`` bytes is held until its end. One of ``STREAMED_PATHS`` is passed on as it arrives, and
only its digest is kept: the answer is stored if the whole of it was read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import Response

from admin_api.http.limits.body_limit import read_all
from admin_api.http.paths import API_PREFIX, PRINCIPAL, STREAMED_PATHS, TOKENS_PATH
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
        body = _Body(scope, receive)
        held = b""
        if scope["path"] not in STREAMED_PATHS:
            whole = await read_all(body.receive)
            if whole is None:
                return  # the caller has left, and part of a body is not what it asked for
            held = whole
        async with self._services.store.read() as unit:
            kept = await unit.idempotency.get(*claim)
        if kept is None:
            inner = _replay(held, receive) if body.complete else body.receive
            await self._carry_out(claim, body, scope, inner, send)
            return
        if not await body.skip():
            return
        response: Response
        if kept.request_digest != body.digest():
            response = problem_response(scope, ApiError(ProblemKind.KEY_REUSED, "Use a new key for a new request"))
        elif not kept.body and SHOWN_ONCE.fullmatch(scope["path"]):
            response = problem_response(
                scope,
                ApiError(ProblemKind.ALREADY_EXISTS, "Created by an earlier request; its secret is shown once"),
            )
        else:
            response = Response(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})
        await response(scope, receive, send)

    async def _carry_out(self, claim: tuple[str, str], body: _Body, scope: Scope, receive: Receive, send: Send) -> None:
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
                if 200 <= status < 300 and body.complete and len(content) <= MAX_KEPT:
                    keeping = self._keep(claim, body.digest(), scope["path"], status, headers, bytes(content))
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


class _Body:
    """The body of one request as it is received, and the digest of the request. It holds no part of the body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._hash = hashlib.sha256(b"\0".join((scope["path"].encode(), scope["query_string"], b"")))
        self.complete = False  # its end was received

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self.complete:
            self._hash.update(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        return message

    async def skip(self) -> bool:
        """Receive the rest. Returns false if the client disconnects before the end."""
        while not self.complete:
            if (await self.receive())["type"] != "http.request":
                return False
        return True

    def digest(self) -> bytes:
        """Returns the digest of path, query and body."""
        return self._hash.digest()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a ``receive`` that yields ``body`` once, then the messages of ``receive``."""
    pending: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed
