# SPDX-License-Identifier: GPL-3.0-or-later
"""The FastAPI dependencies of the endpoints: the caller with its scopes, the services, shared query parameters.

An endpoint names the scope that it needs by the ``Annotated`` type of a parameter. All of them are coroutines, though
none waits: FastAPI runs a plain function on a thread of a pool, which costs each request two wake-ups.
"""

from ipaddress import ip_address
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from admin_api.http.identity import Principal, Scope
from admin_api.http.paths import PRINCIPAL
from admin_api.http.problems import ApiError, ProblemKind, unauthenticated
from admin_api.http.values import NO_CONTROLS, Ip, Moment
from admin_api.services import Services
from vpn_frontend.settings import Address

bearer = HTTPBearer(auto_error=False, bearerFormat="ocs_<id>_<secret>", description="A token of this server")


async def require(needed: SecurityScopes, request: Request, _: Annotated[object, Depends(bearer)]) -> Principal:
    """Returns the caller if it has all the scopes that the endpoint names. Raises ``ApiError`` otherwise."""
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None:
        raise unauthenticated("Send a token as Authorization: Bearer ocs_...")
    lacking = [scope for scope in needed.scopes if not principal.may(Scope(scope))]
    if lacking:
        raise ApiError(ProblemKind.FORBIDDEN, f"This needs the scope {lacking[0]}")
    return principal


async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def caller_address(request: Request) -> Address | None:
    """The caller's IP address; ``None`` for a caller on the Unix socket."""
    try:
        return ip_address(request.client.host if request.client else "")
    except ValueError:
        return None


CallerAddress = Annotated[Address | None, Depends(caller_address)]
Force = Annotated[
    bool,
    Query(description="Apply the change even if it refuses the caller's own address, or disconnects or covers much."),
]
Protect = Annotated[
    list[Ip],
    Query(description="Further addresses of the caller, that only force may refuse.", max_length=16),
]


async def own_addresses(
    address: CallerAddress,
    protect: Protect = [],  # noqa: B006 - FastAPI copies it
) -> list[Address]:
    """The addresses that a change refuses only with force: the connection's, and those that the caller names."""
    return protect if address is None else [address, *protect]


OwnAddresses = Annotated[list[Address], Depends(own_addresses)]
DryRun = Annotated[bool, Query(description="Change nothing; return how many sessions would be disconnected.")]
Since = Annotated[Moment | None, Query(description="Only from this time on.", examples=["2030-01-01T12:00:00Z"])]
Until = Annotated[Moment | None, Query(description="Only before this time.", examples=["2030-01-02T12:00:00Z"])]
NewestFirst = Annotated[Literal["at", "-at"], Query(description="`at`: oldest first.")]
Reason = Annotated[str, Query(max_length=200, pattern=NO_CONTROLS, description="Why, for the version log.")]
ServicesOf = Annotated[Services, Depends(services_of)]

Caller = Annotated[Principal, Security(require, scopes=[])]
AddressesRead = Annotated[
    Principal,
    Security(
        require,
        scopes=[
            Scope.POLICY_READ,
            Scope.BLOCKS_READ,
            Scope.PENALTIES_READ,
            Scope.SESSIONS_READ,
            Scope.DECISIONS_READ,
        ],
    ),
]
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
SettingsRead = Annotated[Principal, Security(require, scopes=[Scope.SETTINGS_READ])]
SettingsWrite = Annotated[Principal, Security(require, scopes=[Scope.SETTINGS_WRITE])]
StatusRead = Annotated[Principal, Security(require, scopes=[Scope.STATUS_READ])]
TokensRead = Annotated[Principal, Security(require, scopes=[Scope.TOKENS_READ])]
TokensWrite = Annotated[Principal, Security(require, scopes=[Scope.TOKENS_WRITE])]
WebhooksRead = Annotated[Principal, Security(require, scopes=[Scope.WEBHOOKS_READ])]
# Who makes a webhook reads the events that it gets.
WebhooksWrite = Annotated[Principal, Security(require, scopes=[Scope.WEBHOOKS_WRITE, Scope.EVENTS_READ])]
UsersRead = Annotated[Principal, Security(require, scopes=[Scope.USERS_READ])]
UsersWrite = Annotated[Principal, Security(require, scopes=[Scope.USERS_WRITE])]
