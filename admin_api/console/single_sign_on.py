# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in at a provider. The browser leaves the console and comes back in two steps.

Browsers leave ``SameSite=Strict`` cookies out of a request that another site began. So the address that the provider
sends the browser to only leads on to the one that ends the sign-in; that request begins here and has all cookies.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from admin_api.connections.tcp_listener import source_of
from admin_api.console.rendering import environment
from admin_api.console.sign_in import SIGN_IN, address_of, open_session, show_problem, target
from admin_api.http.paths import CONSOLE_PATH
from admin_api.roles import SCOPES
from admin_api.single_sign_on.sign_on import SignOnError

if TYPE_CHECKING:
    from starlette.requests import Request

    from admin_api.services import Services
    from admin_api.single_sign_on.sign_on import SignOn

COOKIE = "__Host-ocsentry-sign-in"  # marks the browser that left for the provider
COOKIE_LIFETIME = 600  # seconds
LEAVE, RETURN, FINISH = "/sign-in/provider", "/sign-in/provider/return", "/sign-in/provider/finish"
ANSWER = ("state", "code", "error")  # of the provider's answer, what is passed on
MAX_VALUE = 4096  # characters of each
NOT_STORED = {"Cache-Control": "no-store"}
MISSING = "This server has no provider for sign-ins: set [admin.oidc]"


async def leave(request: Request) -> Response:
    """To the provider. ``again``: for a change that asks the person to prove it once more."""
    sign_on = _sign_on(request)
    if sign_on is None:
        return show_problem(request, MISSING, 404)
    try:
        departure = await sign_on.leave(
            return_url=_return_url(request),
            wanted=target(request.query_params.get("next", "")),
            browser=request.cookies.get(COOKIE, ""),
            again="again" in request.query_params,
            source=source_of(address_of(request)),
        )
    except SignOnError as refusal:
        return show_problem(request, str(refusal), 502)
    response = RedirectResponse(departure.url, 303, NOT_STORED)
    response.set_cookie(
        COOKIE, departure.browser, max_age=COOKIE_LIFETIME, path="/", secure=True, httponly=True, samesite="strict"
    )
    return response


async def lead_on(request: Request) -> Response:
    """The page that the provider sends the browser to."""
    answer = {name: request.query_params[name][:MAX_VALUE] for name in ANSWER if name in request.query_params}
    page = environment().get_template("frame/coming_back.html")
    return HTMLResponse(
        page.render(base=CONSOLE_PATH, url=f"{CONSOLE_PATH}{FINISH}?{urlencode(answer)}"), 200, NOT_STORED
    )


async def finish(request: Request) -> Response:
    sign_on = _sign_on(request)
    if sign_on is None:
        return show_problem(request, MISSING, 404)
    try:
        signed_on = await sign_on.come_back(request.query_params, request.cookies.get(COOKIE, ""))
    except SignOnError as refusal:
        return show_problem(request, str(refusal), 403)
    response = RedirectResponse(signed_on.wanted, 303, NOT_STORED)
    proved_at = None if signed_on.proved_at is None else datetime.fromtimestamp(signed_on.proved_at, UTC)
    await open_session(request, response, signed_on.person, SCOPES[signed_on.role], proved_at=proved_at)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def sign_in_again(request: Request) -> str:
    """The link that asks the person once more, then leads back to the page that a form was sent from; empty: none."""
    if _sign_on(request) is None:
        return ""
    came_from = urlsplit(request.headers.get("referer", "")).path
    return f"{SIGN_IN}/provider?{urlencode({'again': 1, 'next': target(came_from)})}"


def _sign_on(request: Request) -> SignOn | None:
    services: Services = request.app.state.services
    return services.sign_on


def _return_url(request: Request) -> str:
    """The address to come back to. The provider must know it. Plain HTTP is on this host only, behind no proxy."""
    host = request.url.hostname or ""
    scheme = request.url.scheme if _is_local(host) else "https"
    return f"{scheme}://{request.url.netloc}{CONSOLE_PATH}{RETURN}"


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


routes = [
    Route(LEAVE, leave, methods=["GET"]),
    Route(RETURN, lead_on, methods=["GET"]),
    Route(FINISH, finish, methods=["GET"]),
]
