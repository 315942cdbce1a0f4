# SPDX-License-Identifier: GPL-3.0-or-later
"""HEAD answers with the head of GET."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.asyncio

OF_EACH_ANSWER = {"x-request-id", "date"}


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/api/v1/blocks", "/api/v1/users/nobody", "/api/v1/nothing"]
)
async def test_head_is_the_head_of_get(server, path):
    got, head = await server.client.get(path), await server.client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers.keys() == got.headers.keys()
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_head_of_a_stream_ends(server):
    async with asyncio.timeout(30):
        head = await server.client.head("/api/v1/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_needs_the_token_that_get_needs(server):
    assert (await server.anonymous.head("/api/v1/blocks")).status_code == 401


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/sessions/history", "GET, HEAD"),
        ("/api/v1/sessions/waiting", "GET, HEAD"),
        ("/api/v1/sessions/statistics", "DELETE, GET, HEAD"),
        ("/api/v1/sessions/x", "DELETE, GET, HEAD"),
        ("/api/v1/blocks/stream", "GET, HEAD"),
        ("/api/v1/blocks/x", "DELETE, GET, HEAD"),
    ],
)
async def test_allow_names_what_the_resource_has(server, path, methods):
    answer = await server.client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
