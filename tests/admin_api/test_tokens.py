# SPDX-License-Identifier: GPL-3.0-or-later
"""``/tokens``, and requests with a token."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from admin_api.clock import Clock
from admin_api.http.identity import ALL_SCOPES, Scope
from admin_api.http.limits.throttle import MAX_FAILURES
from admin_api.store.database import TOKEN_LIFETIME
from admin_api.store.identities.tokens import TokenRepository
from admin_api.store.tables import Token
from admin_api.tokens.service import create_token

pytestmark = pytest.mark.asyncio

URL = "/api/v1/tokens"


@pytest.mark.parametrize(("method", "path"), [("GET", URL), ("POST", URL), ("DELETE", f"{URL}/x")])
async def test_access(server, method, path):
    body = {"name": "x", "scopes": ["blocks:read"]}
    assert (await server.anonymous.request(method, path, json=body)).status_code == 401
    wrong = await server.client_with(Scope.TOKENS_READ if method != "GET" else Scope.USERS_WRITE)
    assert (await wrong.request(method, path, json=body)).status_code == 403


class TestCreateToken:
    async def test_a_session_of_the_console_is_not_made_by_its_name(self, server):
        answer = await server.client.post(URL, json={"name": "console:ana", "scopes": ["blocks:read"]})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/name")

    async def test_works_and_is_shown_once(self, server, store_url):
        answer = await server.client.post(URL, json={"name": "grafana", "scopes": ["blocks:read"]})
        assert answer.status_code == 201
        text = answer.json()["token"]
        client = {"Authorization": f"Bearer {text}"}
        assert (await server.anonymous.get("/api/v1/blocks", headers=client)).status_code == 200
        assert (await server.anonymous.get("/api/v1/users", headers=client)).status_code == 403
        listed = await server.client.get(URL)
        assert "token" not in listed.json()["items"][0]
        secret = text.rpartition("_")[2]
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:
            everything = "\n".join(raw.iterdump())
        assert secret not in everything
        assert secret not in listed.text

    async def test_cannot_exceed_the_scopes_of_its_creator(self, server):
        client = await server.client_with(Scope.TOKENS_WRITE, Scope.BLOCKS_READ)
        assert (await client.post(URL, json={"name": "x", "scopes": ["blocks:write"]})).status_code == 403
        assert (await client.post(URL, json={"name": "x", "scopes": ["blocks:read"]})).status_code == 201

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "x", "scopes": []},
            {"name": "x", "scopes": ["everything"]},
            {"name": "", "scopes": ["blocks:read"]},
            {"name": "x", "scopes": ["blocks:read"], "expires_at": "2020-01-01T00:00:00Z"},
        ],
    )
    async def test_invalid(self, server, body):
        assert (await server.client.post(URL, json=body)).status_code == 422


class TestUse:
    async def test_revoked(self, server):
        made = (await server.client.post(URL, json={"name": "x", "scopes": ["blocks:read"]})).json()
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert (await server.anonymous.get("/api/v1/blocks", headers=headers)).status_code == 200
        assert (await server.client.delete(f"{URL}/{made['id']}")).status_code == 204
        assert (await server.anonymous.get("/api/v1/blocks", headers=headers)).status_code == 401
        assert (await server.client.delete(f"{URL}/{made['id']}")).status_code == 404

    async def test_expired(self, server):
        past = datetime.now(UTC) - timedelta(seconds=1)
        _, text = await create_token(server.store, "old", ALL_SCOPES, by="test", expires_at=past)
        answer = await server.anonymous.get("/api/v1/blocks", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401
        assert "expired" in answer.json()["detail"]

    async def test_is_read_once_for_many_calls(self, server, monkeypatch):
        read, reads = TokenRepository.get, []

        async def count(tokens, token_id):
            reads.append(token_id)
            return await read(tokens, token_id)

        monkeypatch.setattr(TokenRepository, "get", count)
        monkeypatch.setattr(server.store, "clock", Clock(monotonic=lambda: 1000.0))
        for _ in range(3):
            assert (await server.client.get("/api/v1/blocks")).status_code == 200
        assert len(reads) == 1

    async def test_revocation_by_another_process_is_seen(self, server, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(server.store, "clock", Clock(monotonic=lambda: now[0]))
        _, text = await create_token(server.store, "x", ALL_SCOPES, by="test")
        headers = {"Authorization": f"Bearer {text}"}
        assert (await server.anonymous.get("/api/v1/blocks", headers=headers)).status_code == 200
        async with server.store._engine.begin() as beside:
            await beside.execute(delete(Token).where(Token.name == "x"))
        now[0] += TOKEN_LIFETIME
        assert (await server.anonymous.get("/api/v1/blocks", headers=headers)).status_code == 401

    async def test_last_use_is_noted(self, server):
        made = (await server.client.post(URL, json={"name": "x", "scopes": ["blocks:read"]})).json()
        assert made["last_used_at"] is None
        await server.anonymous.get("/api/v1/blocks", headers={"Authorization": f"Bearer {made['token']}"})
        await server.services.token_uses.written()
        listed = (await server.client.get(URL)).json()["items"]
        assert next(token for token in listed if token["id"] == made["id"])["last_used_at"] is not None

    async def test_a_use_that_cannot_be_noted_refuses_no_request(self, server, monkeypatch):
        made = (await server.client.post(URL, json={"name": "x", "scopes": ["blocks:read"]})).json()

        def locked():
            raise OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))

        monkeypatch.setattr(server.store, "write", locked)
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert (await server.anonymous.get("/api/v1/blocks", headers=headers)).status_code == 200
        await server.services.token_uses.written()

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer nonsense",
            "Basic YWRtaW46YWRtaW4=",
            "Bearer ocs_1_2",
            "Bearer " + "x" * 5000,
        ],
    )
    async def test_malformed(self, server, authorization):
        answer = await server.anonymous.get("/api/v1/blocks", headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_wrong_secret(self, server):
        wrong = server.token[:-1] + ("0" if server.token[-1] != "0" else "1")
        answer = await server.anonymous.get("/api/v1/blocks", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401

    async def test_wrong_tokens_throttle_only_their_own_address(self, server, monkeypatch):
        throttle = server.services.throttle
        note = throttle.note_failure
        monkeypatch.setattr(throttle, "note_failure", lambda address, _: note(address, 0.0))  # all at the same moment
        guess = {"Authorization": f"Bearer ocs_{'0' * 12}_{'0' * 64}"}
        for _ in range(MAX_FAILURES):
            assert (await server.anonymous.get("/api/v1/blocks", headers=guess)).status_code == 401
        answer = await server.anonymous.get("/api/v1/blocks", headers=guess)
        assert answer.status_code == 429
        heard = [event for event in server.services.events._kept if event.kind == "token_refused"]
        assert len(heard) == MAX_FAILURES
        assert heard[0].fields == {"address": "192.0.2.200"}
        assert answer.json()["code"] == "too_many_requests"
        wait = int(answer.headers["retry-after"])
        assert wait > 0
        assert f'"wrong-tokens";r=0;t={wait}' in answer.headers.get_list("ratelimit")
        assert (await server.client.get("/api/v1/blocks")).status_code == 200
        assert (await server.anonymous.get("/api/v1/blocks")).status_code == 401
