# SPDX-License-Identifier: GPL-3.0-or-later
"""``/feeds``: the block lists of the rule files."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from admin_api.app import create_app
from sentry_engine.policy.feeds import Refresh
from tests.admin_api.conftest import CALLER

pytestmark = pytest.mark.asyncio

URL = "/api/v1/feeds"


class FakeFeeds:
    def __init__(self, result):
        self.result = result

    def kept_at(self, feed):
        return None

    def problem_of(self, feed_id):
        return "it was away"

    async def refresh(self, feed_id):
        return self.result


async def test_a_list_with_its_length_and_age(server, rules_folder):
    (rules_folder / "bad.list").write_text("192.0.2.0/24\n198.51.100.7\n")
    await server.client.post("/api/v1/policy/reload")
    (feed,) = (await server.client.get(URL)).json()["items"]
    assert (feed["id"], feed["entries"], feed["url"]) == ("list:bad.list", 2, None)
    assert feed["path"] == str(rules_folder / "bad.list")
    assert feed["age"] >= 0
    assert (await server.client.get(f"{URL}/list:bad.list")).json()["entries"] == 2
    refused = await server.client.post(f"{URL}/list:bad.list:refresh")
    assert (refused.status_code, refused.json()["code"]) == (502, "feed_failed")


async def test_unknown(server):
    assert (await server.client.get(f"{URL}/none")).status_code == 404
    assert (await server.client.post(f"{URL}/none:refresh")).status_code == 404


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Refresh("drop", changed=True, entries=1), 200),
        (Refresh("drop", changed=False), 200),
        (Refresh("drop", changed=False, problem="it is away"), 502),
        (None, 502),
    ],
    ids=["new", "unchanged", "failed", "unnamed"],
)
async def test_refresh(server, services, rules_folder, tmp_path, result, status):
    kept = tmp_path / "feeds"
    kept.mkdir()
    (kept / "drop.list").write_text("192.0.2.0/24\n")
    feed = {"id": "drop", "url": "https://user:secret@lists.example/drop"}
    server.write_rules({"wolfsentry": {"version": "1", "feeds": [feed]}}, "feeds.json")
    state = server.enforcement._state
    load = state._load
    state._load = lambda *paths, **more: load(*paths, feed_folder=kept, **more)
    assert (await server.client.post("/api/v1/policy/reload")).status_code == 200
    transport = httpx.ASGITransport(create_app(replace(services, feeds=FakeFeeds(result))), client=(CALLER, 1))
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers) as client:
        answer = await client.post(f"{URL}/drop:refresh")
        assert answer.status_code == status
        if status == 200:
            assert answer.json() == {"feed": "drop", "changed": result.changed, "entries": 1}
        shown = await client.get(f"{URL}/drop")
        assert shown.json()["problem"] == "it was away"
        assert "secret" not in shown.text
