# SPDX-License-Identifier: GPL-3.0-or-later
"""One request of a person who is signed in: who it is, what the API tells that person, and the page that answers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from admin_api.console.api_caller import ApiCaller, ApiRefusal
from admin_api.console.content_policy import content_policy
from admin_api.console.forms import read_form
from admin_api.console.rendering import environment
from admin_api.http.identity import CONSOLE_PREFIX, Scope
from admin_api.http.paths import CONSOLE_PATH
from admin_api.roles import role_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.requests import Request

    from admin_api.http.identity import Principal
    from admin_api.services import Services

SEE_OTHER = 303
PER_PAGE = 100  # rows of a list


@dataclass
class Visit:
    """``signed_in_at``: when the session began."""

    request: Request
    services: Services
    principal: Principal
    signed_in_at: datetime
    _fields: dict[str, str] | None = None

    @cached_property
    def api(self) -> ApiCaller:
        client = self.request.client
        return ApiCaller(self.request.app.state.api, self.principal, (client.host, client.port) if client else ("", 0))

    @cached_property
    def nonce(self) -> str:
        """What marks the scripts, and the elements that act by themselves, as those of this page."""
        return secrets.token_urlsafe(16)

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        return self.request.path_params

    def may(self, scope: str) -> bool:
        return self.principal.may(Scope(scope))

    @property
    def is_fragment(self) -> bool:
        """True if the page asks for a part of itself: htmx marks its requests."""
        return self.request.headers.get("hx-request") == "true" and "hx-boosted" not in self.request.headers

    async def form(self) -> dict[str, str]:
        """Returns the fields of the form that was sent. Raises ``FormError``."""
        if self._fields is None:
            self._fields = await read_form(self.request)
        return self._fields

    async def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - a template's
        """Returns the page, with what every page shows: the person, and the policy that waits to be confirmed."""
        now = self.services.clock.wall()
        text = (
            environment()
            .get_template(template)
            .render(
                values,
                visit=self,
                name=self.principal.name.rpartition("#")[0].removeprefix(CONSOLE_PREFIX),
                role=role_of(self.principal.scopes),
                base=CONSOLE_PATH,
                here=self.request.url.path,
                now=now,
                version=self.services.version,
                pending=await self._pending(),
                nonce=self.nonce,
                done=self.query.get("done", ""),
                undo=self.query.get("undo", ""),
            )
        )
        return HTMLResponse(text, status, {"Content-Security-Policy": content_policy(self.nonce)})

    async def listing(
        self,
        template: str,
        path: str,
        status: int = 200,
        *,
        query: Mapping[str, object] = {},
        **values: Any,  # noqa: ANN401 - a template's
    ) -> HTMLResponse:
        """Returns the page of a list of the API, from the place that the page's URL names.

        ``query``: filters of the list, which pages behind this one keep. The template gets ``rows``, ``next_cursor``.
        """
        answer = await self.api.get(path, cursor=self.query.get("cursor"), limit=PER_PAGE, **query)
        return await self.page(template, status, rows=answer["items"], next_cursor=answer["next_cursor"], **values)

    async def _pending(self) -> dict[str, Any] | None:
        """Returns the policy in force if it is rolled back unless somebody confirms it."""
        if not self.may("policy:read"):
            return None
        status = self.services.enforcement.status()
        return {"version": status.version, "confirm_by": status.confirm_by} if status.confirm_by else None

    def go(self, path: str, **query: str) -> Response:
        """Returns the redirect after a change (RFC 9110, 15.4.4)."""
        url = self.request.url.replace(path=f"{CONSOLE_PATH}{path}", query="").include_query_params(**query)
        return RedirectResponse(f"{url.path}?{url.query}" if url.query else url.path, SEE_OTHER)

    async def refused(self, refusal: ApiRefusal) -> Response:
        """Returns the page that tells why the API refused."""
        return await self.page("frame/refused.html", refusal.status, refusal=refusal)
