# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call: the bearer token or the peer of the Unix socket, found before a byte of the body is read.

``Authentication`` stands around the application and refuses whoever it does not know; the ``Annotated`` types below
stand in the signatures of the endpoints and say which scope each needs.
"""

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from admin_api.http.identity import Principal, Scope, matches, parse_token
from admin_api.http.problems import ApiError, Kind, problem_response
from admin_api.http.values import Address
from admin_api.services import Services

PRINCIPAL = "ocsentry.principal"  # the key in an ASGI scope
GUARDED = "/api/"
PUBLIC = "/api/v1/problems"  # what kinds of problem there are is no secret
USE_NOTED_EVERY = 60.0  # seconds between two notes of when a token was last used
MAX_NOTED = 4096  # tokens whose last note is remembered; forgetting one costs a write

bearer = HTTPBearer(auto_error=False, bearerFormat="ocs_<id>_<secret>", description="A token of this server")


class Authentication:
    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services
        self._noted: dict[str, float] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            principal = scope.get(PRINCIPAL) or await self._principal(scope)
            if principal is None and scope["path"].startswith(GUARDED) and not scope["path"].startswith(PUBLIC):
                raise unauthenticated("Send a token as Authorization: Bearer ocs_...")
        except ApiError as error:
            await problem_response(scope, error)(scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        await self._app(scope, receive, send)

    async def _principal(self, scope: AsgiScope) -> Principal | None:
        """The holder of the request's token; ``None`` where it has none. Raises ``ApiError`` for a wrong one."""
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
        if token is None or not matches(secret, token.digest):
            raise self._refuse_wrong(scope)
        now = services.clock.wall()
        if token.expires_at is not None and token.expires_at <= now:
            raise unauthenticated("The token has expired")
        await self._note_use(token_id)
        scopes = frozenset(scope for scope in Scope if scope.value in token.scopes)
        return Principal(f"{token.name}#{token_id}", scopes)

    def _refuse_wrong(self, scope: AsgiScope) -> ApiError:
        """Count a wrong token, and say so where there were too many from one address."""
        client = scope.get("client")
        address = client[0] if client else "127.0.0.1"
        wait = self._services.throttle.note_failure(address, self._services.clock.monotonic())
        if wait is not None:
            detail = "Too many wrong tokens from this address"
            return ApiError(Kind.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(int(wait) + 1)})
        self._services.events.emit("token_refused", address=address)
        return unauthenticated("The token is not known, or was revoked")

    async def _note_use(self, token_id: str) -> None:
        clock = self._services.clock
        moment = clock.monotonic()
        if moment - self._noted.get(token_id, float("-inf")) < USE_NOTED_EVERY:
            return
        if len(self._noted) >= MAX_NOTED:
            self._noted.clear()
        self._noted[token_id] = moment
        async with self._services.store.write() as unit:
            await unit.tokens.used({token_id: clock.wall()})


def unauthenticated(detail: str) -> ApiError:
    return ApiError(Kind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": 'Bearer realm="ocsentry"'})


def require(needed: SecurityScopes, request: Request, _: Annotated[object, Depends(bearer)]) -> Principal:
    """The caller, if it has all the scopes that the endpoint names."""
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None:
        raise unauthenticated("Send a token as Authorization: Bearer ocs_...")
    lacking = [scope for scope in needed.scopes if not principal.may(Scope(scope))]
    if lacking:
        raise ApiError(Kind.FORBIDDEN, f"This needs the scope {lacking[0]}")
    return principal


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def caller_address(request: Request) -> Address | None:
    """Where the request comes from; ``None`` for the Unix socket, which no network covers."""
    try:
        return ip_address(request.client.host if request.client else "")
    except ValueError:
        return None


CallerAddress = Annotated[Address | None, Depends(caller_address)]
Force = Annotated[bool, Query(description="even if it would refuse the address that this request comes from")]
DryRun = Annotated[bool, Query(description="change nothing, say how many sessions would be disconnected")]
ServicesOf = Annotated[Services, Depends(services_of)]

AuditRead = Annotated[Principal, Security(require, scopes=[Scope.AUDIT_READ])]
BlocksRead = Annotated[Principal, Security(require, scopes=[Scope.BLOCKS_READ])]
BlocksWrite = Annotated[Principal, Security(require, scopes=[Scope.BLOCKS_WRITE])]
DecisionsRead = Annotated[Principal, Security(require, scopes=[Scope.DECISIONS_READ])]
EventsRead = Annotated[Principal, Security(require, scopes=[Scope.EVENTS_READ])]
PenaltiesRead = Annotated[Principal, Security(require, scopes=[Scope.PENALTIES_READ])]
PenaltiesWrite = Annotated[Principal, Security(require, scopes=[Scope.PENALTIES_WRITE])]
PolicyRead = Annotated[Principal, Security(require, scopes=[Scope.POLICY_READ])]
PolicyWrite = Annotated[Principal, Security(require, scopes=[Scope.POLICY_WRITE])]
RulesRead = Annotated[Principal, Security(require, scopes=[Scope.RULES_READ])]
RulesWrite = Annotated[Principal, Security(require, scopes=[Scope.RULES_WRITE])]
SessionsRead = Annotated[Principal, Security(require, scopes=[Scope.SESSIONS_READ])]
SessionsWrite = Annotated[Principal, Security(require, scopes=[Scope.SESSIONS_WRITE])]
StatusRead = Annotated[Principal, Security(require, scopes=[Scope.STATUS_READ])]
TokensRead = Annotated[Principal, Security(require, scopes=[Scope.TOKENS_READ])]
TokensWrite = Annotated[Principal, Security(require, scopes=[Scope.TOKENS_WRITE])]
UsersRead = Annotated[Principal, Security(require, scopes=[Scope.USERS_READ])]
UsersWrite = Annotated[Principal, Security(require, scopes=[Scope.USERS_WRITE])]
