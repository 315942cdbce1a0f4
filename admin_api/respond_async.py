# SPDX-License-Identifier: GPL-3.0-or-later
"""``Prefer: respond-async`` (RFC 7240, 4.1): the answer is 202 at once, and ``/operations/{id}`` has the outcome.

The request is carried out as it would be without the header, beside the caller's connection, which may end meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from admin_api.http.body_limit import read_all
from admin_api.http.paths import API_PREFIX, PRINCIPAL
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind, unavailable
from admin_api.operations.schemas import OperationView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.http.identity import Principal
    from admin_api.long_operations import Operations

HARMLESS = "check|simulate|diff"  # change nothing, so that they can be cancelled
CHANGING = "reload|apply|rollback"
LONG = re.compile(
    rf"{API_PREFIX}/(?:policy/(?P<harmless>{HARMLESS})|policy/(?:{CHANGING})|feeds/.+:refresh|users/import)"
)
# The same by the names of the operations, for their description.
OPERATION_IDS = frozenset(
    {*(f"{name}_policy" for name in f"{HARMLESS}|{CHANGING}".split("|")), "refresh_feed", "import_users"}
)
PREFERENCE = re.compile(r"(?:^|,)\s*respond-async\s*(?:[,;]|$)", re.IGNORECASE)


class RespondAsync:
    """ASGI middleware, the innermost: the caller is known and its body is limited."""

    def __init__(self, app: ASGIApp, *, operations: Operations, is_unavailable: Callable[[Exception], bool]) -> None:
        self._app = app
        self._operations = operations
        self._is_unavailable = is_unavailable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        prefer = None if scope["method"] != "POST" or principal is None else Headers(scope=scope).get("prefer")
        match = None if prefer is None or PREFERENCE.search(prefer) is None else LONG.fullmatch(scope["path"])
        if match is None or principal is None:
            await self._app(scope, receive, send)
            return
        body = await read_all(receive)
        if body is None:
            return
        kind = scope["path"].removeprefix(f"{API_PREFIX}/")
        try:
            operation = self._operations.start(
                kind, principal.name, lambda: self._carry_out(scope, body), cancellable=match["harmless"] is not None
            )
        except ApiError as error:
            await problem_response(scope, error)(scope, receive, send)
            return
        location = f"{API_PREFIX}/operations/{operation.id}"
        shown = OperationView.model_validate(operation).model_dump(mode="json")
        headers = {"Location": location, "Preference-Applied": "respond-async"}
        await JSONResponse(shown, 202, headers)(scope, receive, send)

    async def _carry_out(self, scope: Scope, body: bytes) -> Mapping[str, Any]:
        """Returns the body of the answer. Raises ``ApiError`` for an answer that is a problem document."""
        pending, status, content = [body], 0, bytearray()

        async def receive() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            await asyncio.get_running_loop().create_future()  # the caller's connection is not this request's
            raise AssertionError  # nothing ends that wait

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))

        try:
            await self._app({**scope, "state": {**scope.get("state", {})}}, receive, send)
        except Exception as error:
            if self._is_unavailable(error):
                raise unavailable("The database does not answer; repeat the request later") from error
            raise
        answer: dict[str, Any] = json.loads(content) if content else {}
        if status < 400:
            return answer
        kind = next((kind for kind in ProblemKind if kind.code == answer.get("code")), ProblemKind.INTERNAL)
        raise ApiError(kind, str(answer.get("detail", "")))
