# SPDX-License-Identifier: GPL-3.0-or-later
"""The console's application: its routes, and what happens to every request before and after its page."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from admin_api.authentication import TokenCheck
from admin_api.console import sign_in, single_sign_on
from admin_api.console.api_caller import ApiRefusal
from admin_api.console.content_policy import WITHOUT_SCRIPTS
from admin_api.console.forms import FormError
from admin_api.console.page_list import PAGES
from admin_api.console.proofs import Proofs
from admin_api.console.rendering import STATIC
from admin_api.console.visit import Visit
from admin_api.http.identity import parse_token
from admin_api.http.problems import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_api.console.page import Page
    from admin_api.services import Services

HEADERS = {
    b"content-security-policy": WITHOUT_SCRIPTS.encode(),
    b"cross-origin-opener-policy": b"same-origin",
    b"referrer-policy": b"same-origin",  # with no-referrer a browser sends Origin: null with a form (Fetch, 4.9)
}
ASKED_FIELD = "one_time_code_or_token"  # of the form that asks for it
STATIC_CACHE = (b"cache-control", b"no-cache")  # a browser asks each time, and gets 304


class Console:
    """The ASGI application. It is made at the first request, which keeps the server's start short."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            self._made = _make(scope["app"], self._services)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                static = scope["path"].startswith(f"{scope['root_path']}/static/")
                present = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in HEADERS.items() if name not in present]
                message["headers"] = [*message["headers"], *added, *((STATIC_CACHE,) if static else ())]
            await send(message)

        await self._made(scope, receive, send_with_headers)


def _make(api: ASGIApp, services: Services) -> Starlette:
    routes = [
        Mount("/static", StaticFiles(directory=STATIC)),
        *sign_in.routes,
        *single_sign_on.routes,
        *(Route(page.path, functools.partial(_answer, page), methods=[page.method]) for page in PAGES),
    ]
    made = Starlette(routes=routes)
    made.state.api, made.state.services, made.state.proofs = api, services, Proofs()
    return made


async def _answer(page: Page, request: Request) -> Response:
    """Runs a page for who is signed in; others go to the sign-in and come back."""
    services: Services = request.app.state.services
    visit = await _visit(request, services)
    if visit is None:
        wanted = request.url.path if request.method == "GET" else ""
        query = f"?next={wanted}" if wanted else ""
        response: Response = RedirectResponse(f"{sign_in.SIGN_IN}{query}", 303)
        return response
    lacking = [scope for scope in page.scopes if not visit.may(scope)]
    if lacking:
        return await visit.page("frame/no_permission.html", 403, scope=lacking[0])
    try:
        if page.method == "POST":
            await visit.form()  # refuses one that another site sent, also where the page needs no field
        if page.step_up and not sign_in.has_proof(visit.request):
            return await _step_up(page, visit)
        return await page.answer(visit)
    except FormError as error:
        return await visit.page("frame/bad_form.html", 403, problem=str(error))
    except ApiRefusal as refusal:
        return await visit.refused(refusal)


async def _step_up(page: Page, visit: Visit) -> Response:
    """Asks the person to sign in once more, then carries the form out with the scopes of that sign-in."""
    fields = await visit.form()
    secret, problem = fields.pop(ASKED_FIELD, "").strip(), ""
    if secret:
        try:
            person, scopes = await sign_in.identify(visit.services, secret, sign_in.address_of(visit.request))
        except ApiError as error:
            problem = error.detail
        else:
            if scopes >= visit.principal.scopes:
                response = await page.answer(visit)
                await sign_in.open_session(
                    visit.request, response, person, scopes, proved_at=visit.services.clock.wall()
                )
                return response
            problem = "It permits less than you may do now. Sign out, and sign in with it"
    return await visit.page(
        "frame/step_up.html",
        403,
        fields=fields,
        secret_field=ASKED_FIELD,
        problem=problem,
        sign_on=visit.services.sign_on,
        again=single_sign_on.sign_in_again(visit.request),
    )


async def _visit(request: Request, services: Services) -> Visit | None:
    text = request.cookies.get(sign_in.COOKIE, "")
    parsed = parse_token(text)
    if parsed is None:
        return None
    try:
        principal = await TokenCheck(services).check(text, sign_in.address_of(request), is_cookie=True)
    except ApiError:
        return None
    token = await services.store.token(parsed[0])
    return None if token is None else Visit(request, services, principal, token.created_at)
