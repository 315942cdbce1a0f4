# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the API, among them those of people signed in to the console."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page
from admin_api.roles import SCOPES, Role

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

DAYS = ("7", "90", "365")


async def list_tokens(visit: Visit) -> Response:
    return await _list(visit)


async def create(visit: Visit) -> Response:
    """Creates a token with the scopes of a role. The answer is the only page that ever shows it."""
    fields = await visit.form()
    role = fields.get("role", "")
    granted = SCOPES[Role(role)] if role in set(Role) else frozenset()
    body: dict[str, object] = {"name": fields.get("name", ""), "scopes": sorted(scope.value for scope in granted)}
    if fields.get("days") in DAYS:
        body["expires_at"] = (visit.services.clock.wall() + timedelta(days=int(fields["days"]))).isoformat()
    try:
        made = await visit.api.post("tokens", body)
    except ApiRefusal as refusal:
        return await _list(visit, refusal=refusal)
    return await _list(visit, made=made)


async def revoke(visit: Visit) -> Response:
    await visit.api.delete(f"tokens/{visit.path['id']}")
    return visit.go("/tokens", done="token_revoked")


async def _list(visit: Visit, made: dict[str, object] | None = None, refusal: ApiRefusal | None = None) -> Response:
    return await visit.listing(
        "accounts/tokens.html",
        "tokens",
        refusal.status if refusal else 200,
        made=made,
        refusal=refusal,
        roles=[role.value for role in Role],
        days=DAYS,
    )


PAGES = (
    Page("GET", "/tokens", ("tokens:read",), list_tokens),
    Page("POST", "/tokens", ("tokens:write",), create, step_up=True),
    Page("POST", "/tokens/{id}/revoke", ("tokens:write",), revoke),
)
