# SPDX-License-Identifier: GPL-3.0-or-later
"""``/webhooks``."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from admin_api.event_schemas.union import EVENT_KINDS
from admin_api.http.identity import Scope
from admin_api.store.webhooks import Outcome
from admin_api.webhooks import service
from admin_api.webhooks.service import FileWebhook, take_file_webhooks

pytestmark = pytest.mark.asyncio

URL = "/api/v1/webhooks"
HOOK = {"url": "https://hooks.example.org/x", "kinds": ["block_added"], "note": "Incidents"}
ANY = {"If-Match": "*"}


async def made(server, **more):
    answer = await server.client.post(URL, json={**HOOK, **more})
    assert answer.status_code == 201, answer.text
    return answer


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", URL), ("POST", URL), ("GET", f"{URL}/x"), ("PATCH", f"{URL}/x"), ("DELETE", f"{URL}/x"),
     ("POST", f"{URL}/x:test"), ("GET", f"{URL}/x/deliveries"), ("GET", f"{URL}/x/deliveries/y"),
     ("POST", f"{URL}/x/deliveries/y:redeliver")],
)  # fmt: skip
async def test_access(server, method, path):
    assert (await server.anonymous.request(method, path, json=HOOK)).status_code == 401
    wrong = await server.client_with(*[Scope.WEBHOOKS_READ] if method != "GET" else [Scope.EVENTS_READ])
    assert (await wrong.request(method, path, json=HOOK)).status_code == 403


async def test_a_webhook_gets_no_events_that_its_maker_may_not_read(server):
    client = await server.client_with(Scope.WEBHOOKS_WRITE)
    assert (await client.post(URL, json=HOOK)).status_code == 403
    client = await server.client_with(Scope.WEBHOOKS_WRITE, Scope.EVENTS_READ)
    assert (await client.post(URL, json=HOOK)).status_code == 201


class TestCreateWebhook:
    async def test_the_secret_is_shown_once_and_stored_sealed(self, server, store_url):
        answer = await made(server)
        secret = answer.json()["secret"]
        assert answer.headers["cache-control"] == "no-store"
        location = answer.headers["location"]
        found = await server.client.get(location)
        assert found.headers["etag"] == answer.headers["etag"]
        assert (found.json()["url"], found.json()["kinds"], found.json()["pending"]) == (
            HOOK["url"],
            ["block_added"],
            0,
        )
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:
            everything = "\n".join(raw.iterdump())
        for text in (found.text, (await server.client.get(URL)).text, everything):
            assert secret.removeprefix("whsec_") not in text

    async def test_a_repetition_shows_no_secret(self, server):
        key = {"Idempotency-Key": "k1"}
        first = await server.client.post(URL, json=HOOK, headers=key)
        again = await server.client.post(URL, json=HOOK, headers=key)
        assert (first.status_code, again.status_code) == (201, 409)
        assert "secret" not in again.json()

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"url": "ftp://x.test/"}, "/url"),
            ({"url": "https://"}, "/url"),
            ({"url": "https://u:p@x.test/"}, "/url"),
            ({"url": "https://x.test:99999/"}, "/url"),
            ({"url": "https://x.test:0/"}, "/url"),
            ({"url": "https://[::1/"}, "/url"),
            ({"url": "https://x.test/\r\nX: y"}, "/url"),
            ({"url": "https://x.test/" + "y" * 2048}, "/url"),
            ({"kinds": ["no_such_kind"]}, "/kinds/0"),
            ({"kinds": "ready"}, "/kinds"),
            ({"note": "a\nb"}, "/note"),
            ({"secret": "whsec_x"}, "/secret"),
        ],
    )
    async def test_invalid(self, server, change, pointer):
        answer = await server.client.post(URL, json={**HOOK, **change})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer

    async def test_the_table_is_bounded(self, server, monkeypatch):
        monkeypatch.setattr(service, "MAX_WEBHOOKS", 1)
        await made(server)
        answer = await server.client.post(URL, json=HOOK)
        assert (answer.status_code, answer.json()["code"]) == (409, "table_full")

    async def test_every_kind_may_be_named(self, server):
        assert (await made(server, kinds=[*EVENT_KINDS])).json()["kinds"] == [*EVENT_KINDS]


class TestChangeWebhook:
    async def test_merge_patch_with_etag(self, server):
        created = await made(server)
        path, etag = created.headers["location"], created.headers["etag"]
        assert (await server.client.patch(path, json={"enabled": False})).status_code == 428
        changed = await server.client.patch(path, json={"enabled": False, "kinds": None}, headers={"If-Match": etag})
        assert (changed.status_code, changed.json()["enabled"], changed.json()["kinds"]) == (200, False, [])
        stale = await server.client.patch(path, json={"note": "x"}, headers={"If-Match": etag})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")
        bad = await server.client.patch(path, json={"url": None}, headers=ANY)
        assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/url")

    async def test_two_callers_lose_nothing(self, server):
        created = await made(server)
        path, etag = created.headers["location"], {"If-Match": created.headers["etag"]}
        answers = await asyncio.gather(
            *(server.client.patch(path, json={"note": str(n)}, headers=etag) for n in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]

    async def test_one_of_the_configuration_is_read_only(self, server):
        await take_file_webhooks(
            server.store, server.services.webhook_box, [FileWebhook("https://f.test/", (), b"x" * 32)]
        )
        (row,) = (await server.client.get(URL)).json()["items"]
        assert row["source"] == "file"
        for method in ("PATCH", "DELETE"):
            answer = await server.client.request(method, f"{URL}/{row['id']}", json={}, headers=ANY)
            assert (answer.status_code, answer.json()["code"]) == (409, "from_file")

    async def test_removed_with_its_deliveries(self, server):
        path = (await made(server)).headers["location"]
        assert (await server.client.post(f"{path}:test")).status_code == 202
        assert (await server.client.delete(path)).status_code == 428
        assert (await server.client.delete(path, headers=ANY)).status_code == 204
        for url in (path, f"{path}/deliveries"):
            assert (await server.client.get(url)).status_code == 404
        assert (await server.client.delete(path, headers=ANY)).status_code == 404


class TestDeliveries:
    async def test_a_test_is_queued(self, server):
        path = (await made(server)).headers["location"]
        answer = await server.client.post(f"{path}:test")
        assert answer.status_code == 202
        found = await server.client.get(answer.headers["location"])
        assert found.json() == answer.json()
        assert (found.json()["kind"], found.json()["state"], found.json()["attempts"]) == ("webhook_test", "pending", 0)
        assert (await server.client.get(path)).json()["pending"] == 1

    async def test_pages_and_states(self, server):
        path = (await made(server)).headers["location"]
        ids = [(await server.client.post(f"{path}:test")).json()["id"] for _ in range(3)]
        first = (await server.client.get(f"{path}/deliveries", params={"limit": 2})).json()
        rest = (await server.client.get(f"{path}/deliveries", params={"cursor": first["next_cursor"]})).json()
        assert [row["id"] for row in first["items"] + rest["items"]] == ids[::-1]
        assert (await server.client.get(f"{path}/deliveries", params={"state": "dead"})).json()["items"] == []

    async def test_redelivery(self, server):
        path = (await made(server)).headers["location"]
        one = (await server.client.post(f"{path}:test")).headers["location"]
        async with server.store.write() as unit:
            await unit.webhooks.note_outcomes([Outcome(one.rpartition("/")[2], False, 10, error="refused")])
        assert (await server.client.get(one)).json()["state"] == "dead"
        assert (await server.client.get(path)).json()["dead"] == 1
        answer = await server.client.post(f"{one}:redeliver")
        assert (answer.status_code, answer.json()["state"], answer.json()["attempts"]) == (202, "pending", 0)
        assert (await server.client.post(f"{path}/deliveries/x:redeliver")).status_code == 404

    async def test_a_disabled_webhook_is_not_tested(self, server):
        path = (await made(server, enabled=False)).headers["location"]
        answer = await server.client.post(f"{path}:test")
        assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")

    async def test_allowed_methods_of_an_action(self, server):
        answer = await server.client.delete(f"{URL}/x:test")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_changes_are_in_the_audit_without_the_path_of_the_url(server):
    path = (await made(server)).headers["location"]
    await server.client.patch(path, json={"note": "x"}, headers=ANY)
    await server.client.delete(path, headers=ANY)
    rows = (await server.client.get("/api/v1/audit")).json()["items"]
    found = [row for row in rows if row["action"].startswith("webhook_")]
    assert [row["action"] for row in found] == ["webhook_removed", "webhook_changed", "webhook_created"]
    assert "/x" not in str(found)
