# SPDX-License-Identifier: GPL-3.0-or-later
"""The Host header: addresses, localhost and configured names only."""

from __future__ import annotations

import httpx
import pytest

from admin_api.app import create_app
from admin_api.http.identity import ALL_SCOPES, Principal
from admin_api.http.paths import PRINCIPAL

pytestmark = pytest.mark.asyncio

OURS = ["api.test", "API.test:8443", "localhost", "127.0.0.1:8443", "192.0.2.7", "[::1]:8443", "[2001:db8::1]"]
OTHERS = ["evil.example", "api.test.evil.example", "127.0.0.1.evil.example", "", "a:b:c", "[evil]", "2130706433"]


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/api/v1/blocks", "/api/v1/blocks/", "/openapi.json"])
@pytest.mark.parametrize("host", OTHERS)
async def test_another_name_is_misdirected(services, host, path):
    transport = httpx.ASGITransport(create_app(services), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        answer = await client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")
    assert "location" not in answer.headers


@pytest.mark.parametrize("host", OURS)
async def test_our_names_are_answered(server, host):
    assert (await server.anonymous.get("/healthz", headers={"Host": host})).status_code == 200


async def test_the_unix_socket_is_exempt(services):
    app = create_app(services)

    async def as_root(scope, receive, send):
        await app({**scope, PRINCIPAL: Principal("local", ALL_SCOPES, local=True)}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(as_root), base_url="http://ocsentry") as client:
        assert (await client.get("/api/v1/status")).status_code == 200
