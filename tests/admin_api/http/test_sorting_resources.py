# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules, groups, tokens, feeds, webhooks and operations in any order that they offer, and only what filters leave."""

from __future__ import annotations

import pytest

from admin_api.long_operations import OperationState
from tests.admin_api.http.lists.test_sorting import cursor, walk

pytestmark = pytest.mark.asyncio


async def test_rules(server):
    client = server.client
    for name in ("anywhere", "zoo"):
        body = {"id": name, "type": "blacklist", "remote_addr": "198.51.100.0/25"}
        await client.post("/api/v1/rules", json=body)
    for _ in range(3):
        server.engine.decide("connect", "192.0.2.65")
    server.engine.decide("connect", "203.0.113.1")
    rules = "/api/v1/rules?"
    for query, ids in (
        ("", ["anywhere", "corporate", "no_lab", "zoo"]),
        ("sort=-id", ["zoo", "no_lab", "corporate", "anywhere"]),
        ("sort=-hits", ["no_lab", "corporate", "zoo", "anywhere"]),
        ("sort=hits", ["anywhere", "zoo", "corporate", "no_lab"]),
        ("source=api", ["anywhere", "zoo"]),
        ("source=file", ["corporate", "no_lab"]),
        ("source=file&sort=-id", ["no_lab", "corporate"]),
    ):
        assert await walk(client, f"{rules}{query}", "id") == ids, query
    [rule] = (await client.get(f"{rules}source=file&sort=-hits&limit=1")).json()["items"]
    assert (rule["hits"], rule["source"], rule["document"]["remote_addr"]) == (3, "file", "192.0.2.64/26")
    of_hits = cursor('["-hits", 3, "no_lab"]')
    other = await client.get(f"{rules}cursor={of_hits}")
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def test_groups(server):
    for name in ("staff", "admins"):
        await server.client.post("/api/v1/groups", json={"name": name})
    body = {"name": "bob", "password_hash": "$5$saltsaltsalt$Np4vQXzVQVZRzXAwOWeF8GMFdzPPkgOj9cBrHXCkm/8"}
    await server.client.post("/api/v1/users", json=body | {"groups": ["staff"]})
    groups = "/api/v1/groups?"
    assert await walk(server.client, groups, "name") == ["admins", "guests", "staff"]
    assert await walk(server.client, f"{groups}sort=-name", "name") == ["staff", "guests", "admins"]
    assert await walk(server.client, f"{groups}sort=-members", "name") == ["staff", "guests", "admins"]
    assert await walk(server.client, f"{groups}source=file", "name") == ["guests"]
    assert await walk(server.client, f"{groups}source=api&sort=members", "name") == ["admins", "staff"]


async def test_groups_with_long_names_in_other_scripts_have_pages(server):
    names = [f"{'ü' * 63}{number}" for number in range(5)]
    for name in names:
        await server.client.post("/api/v1/groups", json={"name": name})
    assert await walk(server.client, "/api/v1/groups?source=api", "name") == names


async def test_tokens(server):
    for name, scope, end in (("ci", "blocks:write", None), ("grafana", "status:read", "2999-01-01T00:00:00Z")):
        body = {"name": name, "scopes": [scope], "expires_at": end}
        assert (await server.client.post("/api/v1/tokens", json=body)).status_code == 201
    tokens = "/api/v1/tokens?"
    assert (await walk(server.client, f"{tokens}sort=-created_at", "name"))[:2] == ["grafana", "ci"]
    names = await walk(server.client, f"{tokens}sort=name", "name")
    assert names == sorted(names)
    assert (await walk(server.client, f"{tokens}sort=expires_at", "name"))[0] == "grafana"
    ids = await walk(server.client, tokens, "id")
    assert ids == sorted(ids)
    assert len(ids) == len(names)
    assert "grafana" not in await walk(server.client, f"{tokens}scope=blocks:write", "name")
    assert await walk(server.client, f"{tokens}expired=true", "name") == []
    assert await walk(server.client, f"{tokens}expired=false&sort=name", "name") == names
    assert await walk(server.client, f"{tokens}created_by=nobody", "name") == []


async def test_feeds(server, rules_folder):
    feeds = []
    for number, name in enumerate(("short", "long", "empty")):
        path = rules_folder / f"{name}.txt"
        path.write_text("".join(f"198.51.100.{line}\n" for line in range((3, 5, 1)[number])))
        feeds.append({"id": name, "path": path.name})
    server.write_rules({"wolfsentry": {"version": "1", "feeds": feeds}}, "feeds.json")
    assert (await server.client.post("/api/v1/policy/reload")).json()["valid"]
    url = "/api/v1/feeds?"
    assert await walk(server.client, url, "id") == ["empty", "long", "short"]
    assert await walk(server.client, f"{url}sort=-entries", "entries") == [5, 3, 1]
    assert await walk(server.client, f"{url}failing=true", "id") == []
    assert await walk(server.client, f"{url}failing=false&sort=-id", "id") == ["short", "long", "empty"]


async def test_webhooks(server):
    urls = [f"https://{name}.example.org/hook" for name in ("zeta", "alpha", "mid")]
    for url in urls:
        body = {"url": url, "enabled": "mid" not in url}
        assert (await server.client.post("/api/v1/webhooks", json=body)).status_code == 201
    webhooks = "/api/v1/webhooks?"
    assert await walk(server.client, webhooks, "url") == urls
    assert await walk(server.client, f"{webhooks}sort=-created_at", "url") == urls[::-1]
    assert await walk(server.client, f"{webhooks}sort=url", "url") == sorted(urls)
    assert await walk(server.client, f"{webhooks}enabled=false", "url") == urls[2:]
    assert await walk(server.client, f"{webhooks}source=file", "url") == []


async def test_operations(server):
    async def succeed():
        return {}

    operations = server.services.operations
    for kind in ("policy/check", "users/import", "policy/check"):
        operation = operations.begin(kind, "someone")
        if kind == "users/import":
            await operations.run(operation, succeed())
    url = "/api/v1/operations?"
    kinds = ["policy/check", "users/import", "policy/check"]
    assert await walk(server.client, url, "kind") == kinds
    assert await walk(server.client, f"{url}sort=-kind", "kind") == sorted(kinds, reverse=True)
    newest = [one.id for one in operations.list()]
    assert await walk(server.client, url, "id") == newest
    assert await walk(server.client, f"{url}sort=created_at", "id") == newest[::-1]
    assert (await walk(server.client, f"{url}sort=finished_at", "state"))[0] == OperationState.DONE
    assert await walk(server.client, f"{url}state=running&kind=policy/check", "id") == [newest[0], newest[2]]


async def test_an_order_that_a_list_has_not_is_refused(server):
    for path in ("rules", "groups", "tokens", "feeds", "webhooks", "operations"):
        answer = await server.client.get(f"/api/v1/{path}?sort=colour")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sort"), path
