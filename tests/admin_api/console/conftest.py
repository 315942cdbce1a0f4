# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser without JavaScript, in memory: it keeps cookies and sends forms as browsers do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio

from admin_api.console.forms import FORM_TYPE
from admin_api.roles import SCOPES, Role
from tests.admin_api.conftest import CALLER

ORIGIN = "https://api.test"


class Visitor:
    """``get`` follows links, ``send`` submits a form; both return the answer that a person would see."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.client.get(f"/console{path}", params=query, follow_redirects=True)

    async def send(self, path: str, origin: str = ORIGIN, **fields: str) -> httpx.Response:
        return await self.client.post(
            f"/console{path}",
            content=urlencode(fields),
            headers={"Origin": origin, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM_TYPE},
            follow_redirects=True,
        )


@pytest_asyncio.fixture
async def visitor(server) -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(server.app, raise_app_exceptions=False, client=(CALLER, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Visitor(client)


@pytest.fixture
def invite(server) -> Callable[..., str]:
    def make(role: Role = Role.ADMIN, name: str = "ana") -> str:
        services = server.services
        return services.one_time_codes.create(name, SCOPES[role], services.clock.monotonic())

    return make


@pytest_asyncio.fixture
async def signed_in(visitor, invite) -> Visitor:
    answer = await visitor.send("/sign-in", secret=invite())
    assert answer.status_code == 200
    return visitor
