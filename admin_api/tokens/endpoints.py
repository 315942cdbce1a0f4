# SPDX-License-Identifier: GPL-3.0-or-later
"""``/tokens``."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query, Response, status

from admin_api.dependencies import ServicesOf, TokensRead, TokensWrite
from admin_api.http.identity import CONSOLE_PREFIX, Scope
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import moment, sorted_page
from admin_api.http.paths import TOKENS_PATH
from admin_api.http.problems import ApiError, ProblemKind, invalid_value, responses
from admin_api.http.routing import resource_router
from admin_api.store.tables import Token
from admin_api.tokens.schemas import TokenCreate, TokenCreated, TokenView
from admin_api.tokens.service import create_token as create
from admin_api.tokens.service import revoke_token

router = resource_router("/tokens", tag="tokens")

TokenOrder = Literal[
    "id", "-id", "name", "-name", "created_at", "-created_at", "expires_at", "-expires_at", "last_used_at",
    "-last_used_at",
]  # fmt: skip
SORT_KEYS: dict[str, Callable[[Token], str | float]] = {
    "id": lambda token: token.id,
    "name": lambda token: token.name,
    "created_at": lambda token: moment(token.created_at),
    "expires_at": lambda token: moment(token.expires_at),
    "last_used_at": lambda token: 0.0 if token.last_used_at is None else moment(token.last_used_at),
}


@router.post("", status_code=status.HTTP_201_CREATED, responses=responses())
async def create_token(
    body: TokenCreate, caller: TokensWrite, services: ServicesOf, response: Response
) -> TokenCreated:
    """Create a token with at most the caller's own scopes. Only this answer contains its text."""
    beyond = [scope.value for scope in body.scopes if not caller.may(scope)]
    if beyond:
        raise ApiError(ProblemKind.FORBIDDEN, f"The caller does not have the scope {beyond[0]}")
    if body.expires_at is not None and body.expires_at <= services.clock.wall():
        raise invalid_value("/expires_at", "the time is in the past")
    if body.name.startswith(CONSOLE_PREFIX):
        raise invalid_value("/name", f"{CONSOLE_PREFIX} begins the names of sessions in the console; choose another")
    row, text = await create(services.store, body.name, body.scopes, by=caller.name, expires_at=body.expires_at)
    response.headers["Location"] = f"{TOKENS_PATH}/{row.id}"
    return TokenCreated(**TokenView.model_validate(row).model_dump(), token=text)


@router.get("", responses=responses())
async def list_tokens(
    _: TokensRead,
    services: ServicesOf,
    paging: PagingQuery,
    scope: Annotated[Scope | None, Query(description="Only those with this scope.")] = None,
    created_by: Annotated[str | None, Query(max_length=128, description="Only those that this caller made.")] = None,
    expired: Annotated[bool | None, Query(description="Only those whose time is, or is not, over.")] = None,
    sort: Annotated[TokenOrder, Query(description="`-`: falling. `expires_at`: those without end last.")] = "id",
) -> Page[TokenView]:
    """List the tokens, without their secrets, by id or as ``sort`` says."""
    now = services.clock.wall()
    async with services.store.read() as unit:
        rows = await unit.tokens.read_all()
    found = (
        row
        for row in rows
        if (scope is None or scope in row.scopes)
        and (created_by is None or row.created_by == created_by)
        and (expired is None or expired == (row.expires_at is not None and row.expires_at <= now))
    )
    return sorted_page(paging, found, sort, SORT_KEYS, lambda row: row.id, TokenView.model_validate)


@router.delete("/{token_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(ProblemKind.NOT_FOUND))
async def delete_token(token_id: str, caller: TokensWrite, services: ServicesOf) -> None:
    """Revoke a token. The next request with it is refused."""
    if not await revoke_token(services.store, token_id, by=caller.name):
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no token {token_id}")
