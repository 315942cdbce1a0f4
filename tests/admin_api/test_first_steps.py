# SPDX-License-Identifier: GPL-3.0-or-later
"""``/first-steps``: a step is done when its effect was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from admin_api.http.identity import Scope
from admin_api.tokens.service import create_token

pytestmark = pytest.mark.asyncio
URL = "/api/v1/first-steps"


async def done(server):
    answer = (await server.client.get(URL)).json()
    steps = {step["name"]: step["done"] for step in answer["steps"]}
    assert answer["done"] == sum(steps.values())
    return {name for name, taken in steps.items() if taken}


async def test_access(server):
    assert (await server.anonymous.get(URL)).status_code == 401
    assert (await (await server.client_with(Scope.USERS_WRITE)).get(URL)).status_code == 403


async def test_a_user_a_connection_and_an_answer(server, view):
    before = await done(server)
    assert not before & {"user", "connection", "traffic"}
    alice = {"name": "alice", "password": "correct horse"}
    assert (await server.client.post("/api/v1/users", json=alice)).status_code == 201
    assert await done(server) == before | {"user"}
    seen = view()
    silent = replace(seen, counters=replace(seen.counters, rx_bytes=100, tx_bytes=0))
    server.sessions.add(silent)
    assert await done(server) == before | {"user", "connection"}
    server.sessions.add(replace(silent, counters=replace(silent.counters, tx_bytes=100)))
    assert await done(server) == before | {"user", "connection", "traffic"}


async def test_a_certificate_counts_when_clients_trust_it(server):
    now = server.services.clock.wall()
    facts = server.services.facts
    assert "certificate" not in await done(server)
    facts.certificates, facts.self_signed = {"vpn": now + timedelta(days=30)}, True
    assert "certificate" not in await done(server)
    facts.self_signed = False
    assert "certificate" in await done(server)
    facts.certificates = {"vpn": now - timedelta(days=1)}
    assert "certificate" not in await done(server)


async def test_tokens_of_the_console_are_no_spare_ones(server):
    async def add(name):
        await create_token(server.services.store, name, [Scope.STATUS_READ], by="test")

    assert "second_token" not in await done(server)
    await add("console:ana")
    assert "second_token" not in await done(server)
    await add("spare")
    assert "second_token" in await done(server)
