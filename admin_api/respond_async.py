# SPDX-License-Identifier: GPL-3.0-or-later
"""``Prefer: respond-async`` (RFC 7240, 4.1): the answer is 202 at once, and ``/operations/{id}`` has the outcome.

The request is carried out as it would be without the header, beside the caller's connection, which may end meanwhile.
What is refused before its endpoint begins (no scope, a malformed body) is refused at once, and is no operation.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from admin_api.http.api_route import BEGIN
from admin_api.http.paths import API_PREFIX, BLOCKS_IMPORT_PATH, PRINCIPAL
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind, unavailable
from admin_api.operations.schemas import OperationView
from admin_api.progress import begin_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.http.identity import Principal
    from admin_api.long_operations import Operation, Operations

LONG = re.compile(
    rf"{API_PREFIX}/(?:policy/(?:check|simulate|diff|reload|apply|rollback)|feeds/.+:refresh|users/import)"
    rf"|{BLOCKS_IMPORT_PATH}"
)
# The same by the names of the operations, for their description.
OPERATION_IDS = frozenset(
    {
        *(f"{name}_policy" for name in ("check", "simulate", "diff", "reload", "apply", "rollback")),
        "refresh_feed",
        "import_users",
        "import_blocks",
    }
)
PREFERENCE = re.compile(r"(?:^|,)\s*respond-async\s*(?:[,;]|$)", re.IGNORECASE)
MAX_HELD = 64 * 1024 * 1024  # bytes of bodies that operations hold together: two imports of a million networks


def is_long(scope: Scope) -> bool:
    """True for a request that may become an operation."""
    return scope["method"] == "POST" and LONG.fullmatch(scope["path"]) is not None


class RespondAsync:
    """ASGI middleware, the innermost: the caller is known and its body is limited."""

    def __init__(self, app: ASGIApp, *, operations: Operations, is_unavailable: Callable[[Exception], bool]) -> None:
        self._app = app
        self._operations = operations
        self._is_unavailable = is_unavailable
        self._held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_long(scope):
            await self._app(scope, receive, send)
            return
        principal: Principal | None = scope.get(PRINCIPAL)
        prefer = Headers(scope=scope).get("prefer")
        if principal is None or prefer is None or PREFERENCE.search(prefer) is None:
            await self._app(scope, receive, send)
            return
        body = _Body(self._held)
        began = False
        try:
            if await body.read(receive):
                began = True
                await self._begin(scope, receive, send, principal, body)
        except ApiError as error:
            await problem_response(scope, error)(scope, receive, send)
        finally:
            if not began:  # also of a body over its limit, and of a connection that is cut off
                body.release()

    async def _begin(self, scope: Scope, receive: Receive, send: Send, principal: Principal, body: _Body) -> None:
        begun: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            """Called in the task of the request. Raises ``ApiError`` (429) if many operations run."""
            kind = scope["path"].removeprefix(f"{API_PREFIX}/").replace("blocks:import", "blocks_import")
            operation = self._operations.begin(kind, principal.name)
            begin_progress(operation)
            begun.set_result(operation)

        answer = _Answer()
        inner = {**scope, "state": {**scope.get("state", {})}, BEGIN: begin}
        task = asyncio.create_task(self._carry_out(inner, body, answer), name=f"request {scope['path']}")
        either: set[asyncio.Future[Any]] = {task, begun}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not begun.done():
            await answer.pass_on(scope, receive, send, task.exception())
            return
        operation = begun.result()
        self._operations.follow(operation, task)
        headers = {"Location": f"{API_PREFIX}/operations/{operation.id}", "Preference-Applied": "respond-async"}
        shown = OperationView.model_validate(operation).model_dump(mode="json")
        await JSONResponse(shown, 202, headers)(scope, receive, send)

    async def _carry_out(self, scope: Scope, body: _Body, answer: _Answer) -> Mapping[str, Any]:
        """Returns the body of the answer. Raises ``ApiError`` for an answer that is a problem document."""
        try:
            await self._app(scope, body.receive, answer.take)
        except Exception as error:
            if self._is_unavailable(error):
                raise unavailable("The database does not answer; repeat the request later") from error
            raise
        finally:
            body.release()
        return answer.document()


class _Held:
    """How many bytes of bodies are held."""

    def __init__(self) -> None:
        self.size = 0


class _Body:
    """The body of one request, read whole before it is carried out."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._size = 0
        self._parts: deque[bytes] = deque()

    async def read(self, receive: Receive) -> bool:
        """Returns false if the client disconnects before its end. Raises ``ApiError`` if too much is held."""
        while (message := await receive())["type"] == "http.request":
            part = message.get("body", b"")
            self._size += len(part)
            self._held.size += len(part)
            if self._held.size > MAX_HELD:
                detail = f"Operations hold {MAX_HELD} bytes of bodies at most; send it later, or without respond-async"
                raise ApiError(ProblemKind.TOO_LARGE, detail)
            self._parts.append(part)
            if not message.get("more_body", False):
                return True
        return False

    async def receive(self) -> Message:
        if self._parts:
            return {"type": "http.request", "body": self._parts.popleft(), "more_body": bool(self._parts)}
        await asyncio.get_running_loop().create_future()  # the caller's connection is not this request's
        raise AssertionError  # nothing ends that wait

    def release(self) -> None:
        self._held.size -= self._size
        self._size = 0
        self._parts.clear()


class _Answer:
    """What the application answers, kept."""

    def __init__(self) -> None:
        self._head: Message | None = None
        self._content = bytearray()

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
        else:
            self._content += message.get("body", b"")

    async def pass_on(self, scope: Scope, receive: Receive, send: Send, error: BaseException | None) -> None:
        """Answer the caller. Raises ``error`` if there is no answer because of it."""
        if self._head is not None:
            await send(self._head)
            await send({"type": "http.response.body", "body": bytes(self._content)})
        elif isinstance(error, ApiError):
            await problem_response(scope, error)(scope, receive, send)
        elif error is not None:
            raise error

    def document(self) -> Mapping[str, Any]:
        """Raises ``ApiError`` if it is a problem document."""
        found: dict[str, Any] = json.loads(self._content) if self._content else {}
        if self._head is not None and self._head["status"] < 400:
            return found
        kind = next((kind for kind in ProblemKind if kind.code == found.get("code")), ProblemKind.INTERNAL)
        raise ApiError(kind, str(found.get("detail", "")))
