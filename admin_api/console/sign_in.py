# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in and out. A signed-in browser holds a token of its own in a cookie that scripts cannot read.

The token is made from a one-time code or another token, has the same scopes and ends after ``LIFETIME``. It stands in
the list of tokens, so an operator can revoke it, and its name makes the audit name the person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from admin_api.authentication import TokenCheck
from admin_api.console.forms import FormError, read_form
from admin_api.console.rendering import environment
from admin_api.http.identity import CONSOLE_PREFIX, Scope, parse_token
from admin_api.http.paths import CONSOLE_PATH
from admin_api.http.problems import ApiError
from admin_api.tokens.service import create_token, revoke_token

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

    from admin_api.console.proofs import Proofs
    from admin_api.services import Services

COOKIE = "__Host-ocsentry"
LIFETIME = timedelta(hours=12)
SIGN_IN = f"{CONSOLE_PATH}/sign-in"
START = f"{CONSOLE_PATH}/"


def address_of(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"


async def show_sign_in(request: Request) -> Response:
    """The page with the form. A code in the URL is filled in and not used: link previews must not end it."""
    return show_problem(request, "", 200, code=request.query_params.get("code", "")[:128])


async def sign_in(request: Request) -> Response:
    services: Services = request.app.state.services
    try:
        fields = await read_form(request)
        person, scopes = await identify(services, fields.get("secret", "").strip(), address_of(request))
    except FormError as error:
        return show_problem(request, str(error), 403)
    except ApiError as error:
        return show_problem(request, error.detail, error.kind.status.value)
    response = RedirectResponse(target(fields.get("next", "")), 303)
    await open_session(request, response, person, scopes, proved_at=services.clock.wall())
    return response


async def open_session(
    request: Request, response: Response, person: str, scopes: frozenset[Scope], *, proved_at: datetime | None
) -> None:
    """Makes the token of a new session, sets its cookie, and ends the browser's earlier session.

    ``proved_at``: when the person proved who it is; ``None``: unknown. Tokens of sessions whose time is over are
    removed then, so that sign-ins do not fill the table.
    """
    services: Services = request.app.state.services
    async with services.store.write() as unit:
        await unit.tokens.remove_expired(CONSOLE_PREFIX)
    ends = services.clock.wall() + LIFETIME
    row, text = await create_token(services.store, f"{CONSOLE_PREFIX}{person}"[:64], scopes, by=person, expires_at=ends)
    response.set_cookie(
        COOKIE, text, max_age=int(LIFETIME.total_seconds()), path="/", secure=True, httponly=True, samesite="strict"
    )
    proofs: Proofs = request.app.state.proofs
    proofs.note(row.id, proved_at, services.clock.wall())
    await _end_session(request, by=row.name)


def has_proof(request: Request) -> bool:
    """Whether the person of the browser's session proved lately who it is."""
    parsed, services = parse_token(request.cookies.get(COOKIE, "")), request.app.state.services
    proofs: Proofs = request.app.state.proofs
    return parsed is not None and proofs.holds(parsed[0], services.clock.wall())


async def sign_out(request: Request) -> Response:
    try:
        await read_form(request)
    except FormError as error:
        return show_problem(request, str(error), 403)
    await _end_session(request, by="console")
    response = RedirectResponse(SIGN_IN, 303)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def identify(services: Services, secret: str, address: str) -> tuple[str, frozenset[Scope]]:
    """Returns who holds a one-time code or a token, and the scopes. Raises ``ApiError``."""
    invitation = services.one_time_codes.redeem(secret, services.clock.monotonic())
    if invitation is not None:
        return invitation.name, invitation.scopes
    if parse_token(secret) is None:
        raise TokenCheck(services).refuse(address, "The code is unknown, was used, or is older than five minutes")
    principal = await TokenCheck(services).check(secret, address)
    return principal.name.rpartition("#")[0], principal.scopes


async def _end_session(request: Request, *, by: str) -> None:
    """Revokes the token of the browser's earlier session."""
    parsed = parse_token(request.cookies.get(COOKIE, ""))
    if parsed is not None:
        services: Services = request.app.state.services
        try:
            await TokenCheck(services).check(request.cookies[COOKIE], address_of(request), is_cookie=True)
        except ApiError:
            return
        await revoke_token(services.store, parsed[0], by=by)


def target(wanted: str) -> str:
    """Returns a path of the console: a link must not lead to another site after the sign-in."""
    return wanted if wanted.startswith(START) and "//" not in wanted and "\\" not in wanted else START


def show_problem(request: Request, problem: str, status: int, *, code: str = "") -> HTMLResponse:
    """Returns the page with the form, with what went wrong above it; nothing did if ``problem`` is empty."""
    page = environment().get_template("frame/sign_in.html")
    services: Services = request.app.state.services
    wanted = request.query_params.get("next", "")[:1024]
    content = page.render(base=CONSOLE_PATH, problem=problem, code=code, next=wanted, sign_on=services.sign_on)
    return HTMLResponse(content, status)


routes = [
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
