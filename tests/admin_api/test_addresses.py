# SPDX-License-Identifier: GPL-3.0-or-later
"""``/addresses``: one answer with all about one address."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope
from sentry_engine import Reason
from vpn_frontend.ports import JournalEntry, Stage

pytestmark = pytest.mark.asyncio

URL = "/api/v1/addresses"
INSIDE = "198.51.100.7"


async def test_an_unknown_address(server):
    answer = await server.client.get(f"{URL}/{INSIDE}")
    assert answer.status_code == 200
    found = answer.json()
    assert found["explanation"]["verdict"]["action"] == "accept"
    assert found["place"]["country"] == ""
    assert (found["penalty"], found["blocks"], found["sessions"], found["history"], found["decisions"]) == (
        None,
        [],
        [],
        [],
        [],
    )


async def test_everything_in_one_answer(server, view):
    server.sessions.add(view("s1", address=INSIDE))
    server.sessions.add(view("s2", address="203.0.113.1"))
    await server.store.record([JournalEntry(Stage.OPENED, view("s0", address=INSIDE))])
    server.engine.penalize("198.51.100.0/25", 60, reason=Reason.RATE_LIMIT)
    server.services.events.emit("login_refused", address=INSIDE, user="alice", reason="password")
    server.services.events.emit("login_refused", address="203.0.113.9", user="bob", reason="password")
    made = await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24", "reason": "R"})
    found = (await server.client.get(f"{URL}/{INSIDE}")).json()
    assert found["explanation"]["verdict"]["rule_id"] == f"block:{made.json()['id']}"
    assert [block["reason"] for block in found["blocks"]] == ["R"]
    assert found["penalty"]["network"] == "198.51.100.0/25"
    assert [row["id"] for row in found["history"]] == ["s0"]
    assert [event["fields"]["user"] for event in found["decisions"]] == ["alice"]


async def test_an_inner_address_finds_its_session(server, view):
    server.sessions.add(view("s1"))
    found = (await server.client.get(f"{URL}/192.168.99.2")).json()
    assert [session["id"] for session in found["sessions"]] == ["s1"]


async def test_needs_all_scopes(server):
    reader = await server.client_with(Scope.POLICY_READ, Scope.BLOCKS_READ)
    assert (await reader.get(f"{URL}/{INSIDE}")).status_code == 403
    assert (await server.client.get(f"{URL}/nonsense")).status_code == 422
