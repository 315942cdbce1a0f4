# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication of API requests: by bearer token, or by the peer of the Unix socket.

It runs before a byte of the body is read.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from admin_api.http.identity import CONSOLE_PREFIX, Principal, Scope, parse_token, secret_matches
from admin_api.http.limits.throttle import MAX_FAILURES, WINDOW
from admin_api.http.paths import LIVENESS_PATH, PRINCIPAL, PROBLEMS_PATH, READINESS_PATH
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind, unauthenticated
from admin_api.log_events import ApiEvent
from admin_api.store.failures import is_unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as AsgiScope

    from admin_api.services import Services

GUARDED = "/api/"
PUBLIC = PROBLEMS_PATH  # the list of problem kinds is public
PROBE_TIME = 1.0  # seconds that a readiness probe waits for the look-up of its token


class TokenCheck:
    """Finds the holder of a token. Wrong tokens are counted by the address that sends them.

    The token of a console's session counts in its cookie alone. Elsewhere it would do without the proof that the
    console asks for before a change that cuts, and who copied it could make a new session of it without end.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def check(self, text: str, address: str, *, is_cookie: bool = False) -> Principal:
        """Returns the token's holder. Raises ``ApiError``: 401 for a wrong token, 429 after too many of them.

        ``is_cookie``: it came in the cookie of the console.
        """
        parsed = parse_token(text)
        if parsed is None:
            raise unauthenticated("The text is no token of this server")
        token_id, secret = parsed
        services = self._services
        token = await services.store.token(token_id)
        if token is None or not secret_matches(secret, token.digest):
            raise self.refuse(address, "The token is unknown or was revoked")
        if token.expires_at is not None and token.expires_at <= services.clock.wall():
            raise unauthenticated("The token has expired")
        if token.name.startswith(CONSOLE_PREFIX) and not is_cookie:
            raise unauthenticated("This is the session of a browser, which counts in the console alone. Use a token")
        services.token_uses.note(token_id)
        return Principal(f"{token.name}#{token_id}", _scopes_of(tuple(token.scopes)))

    def refuse(self, address: str, detail: str) -> ApiError:
        """Counts a wrong secret. Returns the error to raise."""
        wait = self._services.throttle.note_failure(address, self._services.clock.monotonic())
        if wait is not None:
            seconds = int(wait) + 1
            headers = {
                "Retry-After": str(seconds),
                "RateLimit-Policy": f'"wrong-tokens";q={MAX_FAILURES};w={WINDOW}',
                "RateLimit": f'"wrong-tokens";r=0;t={seconds}',
            }
            text = "Too many wrong tokens from this address"
            return ApiError(ProblemKind.TOO_MANY_REQUESTS, text, headers=headers)
        self._services.events.emit(ApiEvent.TOKEN_REFUSED, address=address)
        return unauthenticated(detail)


@lru_cache(256)
def _scopes_of(names: tuple[str, ...]) -> frozenset[Scope]:
    return frozenset(scope for scope in Scope if scope.value in names)


class Authentication:
    """ASGI middleware: sets the request's ``Principal``, or answers 401 or 429."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._tokens = TokenCheck(services)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            principal = scope.get(PRINCIPAL)
            if principal is None and scope["path"] == READINESS_PATH:
                principal = await self._authenticate_probe(scope)
            elif principal is None and scope["path"] != LIVENESS_PATH:
                principal = await self._authenticate(scope)
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
        if kind.lower() != "bearer":
            raise unauthenticated("The Authorization header holds no token of this server")
        client = scope.get("client")
        return await self._tokens.check(credentials.strip(), client[0] if client else "127.0.0.1")

    async def _authenticate_probe(self, scope: AsgiScope) -> Principal | None:
        """Returns the holder of the request's token; ``None`` if it is wrong or the database does not answer.

        A probe with an expired token must not take the server for dead.
        """
        try:
            async with asyncio.timeout(PROBE_TIME):
                return await self._authenticate(scope)
        except (ApiError, TimeoutError):
            return None
        except Exception as error:
            if is_unavailable(error):
                return None
            raise
