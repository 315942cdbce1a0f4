# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the HTTP API in this process, in the name of the person who is signed in."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import httpx

from admin_api.http.paths import API_PREFIX, PRINCIPAL
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as AsgiScope

    from admin_api.http.identity import Principal

MAX_ITEMS = 1000  # of one list; longer ones have pages


class ApiRefusal(Exception):  # noqa: N818 - an answer of the API, not a fault of this program
    """The API answered with a problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", status)))
        self.status = status
        self.code: str = problem.get("code", "")
        self.title: str = problem.get("title", f"HTTP {status}")
        self.detail: str = problem.get("detail", "")
        self.errors: list[Mapping[str, Any]] = problem.get("errors", [])


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: decoded JSON; ``None`` for an empty answer. ``etag``: for ``if_match`` of a later change."""

    body: Any
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """``app``: the API. ``client``: address and port of the browser, which the API's safeguards protect."""

    app: ASGIApp
    principal: Principal
    client: tuple[str, int]
    _transport: httpx.ASGITransport = field(init=False)

    def __post_init__(self) -> None:
        async def with_principal(scope: AsgiScope, receive: Receive, send: Send) -> None:
            await self.app({**scope, PRINCIPAL: self.principal}, receive, send)

        transport = httpx.ASGITransport(with_principal, raise_app_exceptions=False, client=self.client)
        object.__setattr__(self, "_transport", transport)  # the dataclass is frozen

    async def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        return (await self.call("GET", path, query=query)).body

    async def post(self, path: str, body: object = None, **query: object) -> Any:  # noqa: ANN401 - JSON
        return (await self.call("POST", path, body=body, query=query)).body

    async def delete(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        return (await self.call("DELETE", path, query=query)).body

    async def call(
        self, method: str, path: str, *, body: object = None, query: Mapping[str, object] = {}, if_match: str = ""
    ) -> Answer:
        """Query values that are ``None`` or empty are left out. Raises ``ApiRefusal``."""
        given = {name: _text(value) for name, value in query.items() if value not in (None, "")}
        request = httpx.Request(
            method,
            f"http://localhost{API_PREFIX}/{path}",
            params=given or None,
            json=body,
            headers={"If-Match": if_match} if if_match else None,
        )
        response = await self._transport.handle_async_request(request)
        content = await response.aread()
        document = httpx.Response(response.status_code, content=content).json() if content else None
        if response.status_code >= 400:
            raise ApiRefusal(response.status_code, document or {})
        return Answer(document, response.headers.get("etag", ""))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
