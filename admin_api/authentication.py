# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication of API requests: by bearer token, or by the peer of the Unix socket.

It runs before a byte of the body is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from admin_api.http.identity import Principal, Scope, parse_token, secret_matches
from admin_api.http.paths import PRINCIPAL, PROBLEMS_PATH
from admin_api.http.problems import ApiError, ProblemKind, problem_response, unauthenticated
from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as AsgiScope

    from admin_api.services import Services

GUARDED = "/api/"
PUBLIC = PROBLEMS_PATH  # the list of problem kinds is public
USE_NOTED_EVERY = 60.0  # seconds between two writes of a token's last use
MAX_NOTED = 4096  # tokens whose last write is remembered; forgetting one costs a write


class Authentication:
    """ASGI middleware: sets the request's ``Principal``, or answers 401 or 429."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services
        self._noted: dict[str, float] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            principal = scope.get(PRINCIPAL) or await self._authenticate(scope)
            if principal is None and scope["path"].startswith(GUARDED) and not scope["path"].startswith(PUBLIC):
                raise unauthenticated("Send a token as Authorization: Bearer ocs_...")
        except ApiError as error:
            await problem_response(scope, error)(scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: AsgiScope) -> Principal | None:
        """Returns the holder of the request's token; ``None`` without a token. Raises ``ApiError`` for a wrong one."""
        authorization = Headers(scope=scope).get("authorization")
        if authorization is None:
            return None
        kind, _, credentials = authorization.partition(" ")
        parsed = parse_token(credentials.strip())
        if kind.lower() != "bearer" or parsed is None:
            raise unauthenticated("The Authorization header holds no token of this server")
        token_id, secret = parsed
        services = self._services
        token = await services.store.token(token_id)
        if token is None or not secret_matches(secret, token.digest):
            raise self._refuse_token(scope)
        now = services.clock.wall()
        if token.expires_at is not None and token.expires_at <= now:
            raise unauthenticated("The token has expired")
        await self._note_use(token_id)
        scopes = frozenset(scope for scope in Scope if scope.value in token.scopes)
        return Principal(f"{token.name}#{token_id}", scopes)

    def _refuse_token(self, scope: AsgiScope) -> ApiError:
        """Count a wrong token. Returns 401, or 429 after too many from one address."""
        client = scope.get("client")
        address = client[0] if client else "127.0.0.1"
        wait = self._services.throttle.note_failure(address, self._services.clock.monotonic())
        if wait is not None:
            detail = "Too many wrong tokens from this address"
            return ApiError(ProblemKind.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(int(wait) + 1)})
        self._services.events.emit(ApiEvent.TOKEN_REFUSED, address=address)
        return unauthenticated("The token is unknown or was revoked")

    async def _note_use(self, token_id: str) -> None:
        clock = self._services.clock
        moment = clock.monotonic()
        if moment - self._noted.get(token_id, float("-inf")) < USE_NOTED_EVERY:
            return
        if len(self._noted) >= MAX_NOTED:
            self._noted.clear()
        self._noted[token_id] = moment
        async with self._services.store.write() as unit:
            await unit.tokens.note_uses({token_id: clock.wall()})
