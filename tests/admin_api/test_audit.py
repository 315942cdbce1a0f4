# SPDX-License-Identifier: GPL-3.0-or-later
"""``/audit``: every change leaves a row."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio

URL = "/api/v1/audit"


@pytest.mark.parametrize("path", [URL, f"{URL}/verify"])
async def test_access(server, path):
    assert (await server.anonymous.get(path)).status_code == 401
    assert (await (await server.client_with(Scope.USERS_WRITE)).get(path)).status_code == 403


async def test_every_change_leaves_a_row(server):
    client = server.client
    rule = {"id": "r", "type": "blacklist", "remote_addr": "192.0.2.1"}
    block = (await client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24", "reason": "why"})).json()
    await client.delete(f"/api/v1/blocks/{block['id']}")
    await client.post("/api/v1/rules", json=rule)
    await client.put("/api/v1/rules/r", json=rule, headers={"If-Match": "*"})
    await client.delete("/api/v1/rules/r", headers={"If-Match": "*"})
    await client.post("/api/v1/users", json={"name": "alice", "password": "hunter2hunter2"})
    await client.put("/api/v1/users/alice", headers={"If-Match": "*"}, json={"password": "hunter3hunter3"})
    await client.delete("/api/v1/users/alice", headers={"If-Match": "*"})
    token = (await client.post("/api/v1/tokens", json={"name": "t", "scopes": ["blocks:read"]})).json()
    await client.delete(f"/api/v1/tokens/{token['id']}")
    await client.delete("/api/v1/penalties")
    answer = await client.get(URL, params={"limit": 11})
    rows = list(reversed(answer.json()["items"]))
    assert [row["action"] for row in rows] == [
        "block_added",
        "block_removed",
        "rule_added",
        "rule_replaced",
        "rule_removed",
        "user_created",
        "user_replaced",
        "user_removed",
        "token_created",
        "token_revoked",
        "penalties_forgiven",
    ]
    assert all(row["actor"].startswith("all#") for row in rows)
    assert rows[0]["target"] == "198.51.100.0/24"
    assert rows[0]["detail"]["reason"] == "why"
    assert "hunter" not in answer.text
    assert "argon2" not in answer.text
    assert token["token"] not in answer.text
    assert (await client.get(f"{URL}/verify")).json() == {"intact": True, "first_broken": None}


async def test_pages_newest_first(server):
    for n in range(4):
        await server.client.post("/api/v1/blocks", json={"cidr": f"198.51.100.{n}"})
    first = (await server.client.get(URL, params={"limit": 3})).json()
    second = (await server.client.get(URL, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    serials = [row["serial"] for row in first["items"] + second["items"]]
    assert serials == sorted(serials, reverse=True)
    assert len(set(serials)) == 6  # including the start of the server and the token of the tests
