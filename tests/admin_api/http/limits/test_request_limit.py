# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests beyond the limit get 503, and health has a limit of its own."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.http.identity import ALL_SCOPES, Principal
from admin_api.http.limits.request_limit import MAX_HEALTH, MAX_REQUESTS, RequestLimit
from admin_api.http.paths import PRINCIPAL

pytestmark = pytest.mark.asyncio


class Asked:
    """A request to an application that answers when told to."""

    def __init__(self, limit, path, **more):
        self.messages = []
        self.scope = {"type": "http", "path": path, "method": "GET", "headers": [], **more}
        self.task = asyncio.create_task(limit(self.scope, None, self.send))

    async def send(self, message):
        self.messages.append(message)

    @property
    def status(self):
        return self.messages[0]["status"] if self.messages else None


@pytest.mark.parametrize(
    ("full", "limit_of_full", "free"), [("/api/v1/x", MAX_REQUESTS, "/readyz"), ("/readyz", MAX_HEALTH, "/api/v1/x")]
)
async def test_each_limit_is_its_own(full, limit_of_full, free):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()

    limit = RequestLimit(app)
    pending = [Asked(limit, full) for _ in range(limit_of_full)]
    await asyncio.sleep(0)
    refused = Asked(limit, full)
    await refused.task
    assert refused.status == 503
    assert (b"retry-after", b"1") in refused.messages[0]["headers"]
    local = Asked(limit, full, **{PRINCIPAL: Principal("local", ALL_SCOPES, local=True)})
    pending += [local, Asked(limit, free)]
    go.set()
    await asyncio.gather(*(one.task for one in pending))
    assert {one.status for one in pending} == {None}
    again = Asked(limit, full)
    await again.task
    assert again.status is None


async def test_every_answer_tells_what_is_left(server):
    answer = await server.client.get("/api/v1/blocks")
    assert answer.headers["ratelimit-policy"] == f'"requests";q={MAX_REQUESTS};qu="concurrent-requests"'
    assert answer.headers["ratelimit"] == f'"requests";r={MAX_REQUESTS - 1}'
    assert (await server.anonymous.get("/healthz")).headers["ratelimit"] == f'"health";r={MAX_HEALTH - 1}'
