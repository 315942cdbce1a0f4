# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users/{name}/totp``: enrol, confirm, show and reset."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.http.identity import Scope
from vpn_frontend.auth.totp.codes import code_at, render_uri, step_at

pytestmark = pytest.mark.asyncio

URL = "/api/v1/users/alice/totp"
KEY = bytes(32)


@pytest_asyncio.fixture
async def api(server):
    await server.client.post("/api/v1/users", json={"name": "alice", "password": "correct horse"})
    return server.client


def code(api_answer, clock, steps=0):
    return code_at(secret_of(api_answer), step_at(clock.wall().timestamp()) + steps)


def secret_of(answer):
    return base64.b32decode(answer.json()["secret"])


@pytest.mark.parametrize(("method", "path"), [("GET", URL), ("POST", URL), ("POST", f"{URL}/confirm"), ("DELETE", URL)])
async def test_access(server, method, path):
    body = {"code": "123456"} if path.endswith("confirm") else None
    assert (await server.anonymous.request(method, path, json=body)).status_code == 401
    wrong = await server.client_with(Scope.USERS_READ if method != "GET" else Scope.SESSIONS_WRITE)
    assert (await wrong.request(method, path, json=body)).status_code == 403


async def test_from_none_to_active_and_back(api, server):
    assert (await api.get(URL)).json() == {
        "state": "none", "created_at": None, "confirmed_at": None, "backup_codes": 0
    }  # fmt: skip
    made = await api.post(URL)
    assert made.status_code == 201
    assert made.headers["location"] == URL
    assert made.headers["cache-control"] == "no-store"
    assert made.json()["state"] == "pending"
    assert made.json()["uri"] == render_uri(secret_of(made), issuer="My VPN", user="alice")
    assert ET.fromstring(made.json()["svg"]).tag == "svg"
    assert (await api.get(URL)).json().keys() == {"state", "created_at", "confirmed_at", "backup_codes"}
    confirmed = await api.post(f"{URL}/confirm", json={"code": code(made, server.services.clock)})
    assert confirmed.status_code == 200
    assert confirmed.json()["state"] == "active"
    assert len(confirmed.json()["codes"]) == confirmed.json()["backup_codes"] == 10
    assert (await api.get(URL)).json()["state"] == "active"
    assert (await api.delete(URL)).status_code == 204
    assert (await api.get(URL)).json()["state"] == "none"
    assert (await api.delete(URL)).status_code == 404


async def test_only_a_right_code_confirms(api, server):
    assert (await api.post(f"{URL}/confirm", json={"code": "123456"})).status_code == 404
    made = await api.post(URL)
    for wrong in (code(made, server.services.clock, 5), "abcdef"):
        answer = await api.post(f"{URL}/confirm", json={"code": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/code")
        assert wrong not in answer.text
    assert (await api.get(URL)).json()["state"] == "pending"


async def test_a_second_enrolment_replaces_one_that_waits_but_none_that_is_active(api, server):
    first, second = await api.post(URL), await api.post(URL)
    assert secret_of(first) != secret_of(second)
    answer = await api.post(f"{URL}/confirm", json={"code": code(first, server.services.clock)})
    assert answer.status_code == 422
    right = {"code": code(second, server.services.clock)}
    assert (await api.post(f"{URL}/confirm", json=right)).status_code == 200
    assert (await api.post(f"{URL}/confirm", json=right)).json()["code"] == "already_exists"
    assert (await api.post(URL)).json()["code"] == "already_exists"


async def test_unknown_users(api):
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/confirm")):
        body = {"code": "123456"} if path else None
        answer = await api.request(method, f"/api/v1/users/nobody/totp{path}", json=body)
        assert answer.status_code == 404


async def test_secrets_are_in_neither_database_nor_audit(api, server, store_url):
    key = {"Idempotency-Key": "one"}
    made = await api.post(URL, headers=key)
    again = await api.post(URL, headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "already_exists"), "shown once"
    codes = (await api.post(f"{URL}/confirm", json={"code": code(made, server.services.clock)}, headers={
        "Idempotency-Key": "two"})).json()["codes"]  # fmt: skip
    audit = (await api.get("/api/v1/audit")).text
    assert "totp_enrolment_begun" in audit
    assert "totp_enrolment_confirmed" in audit
    await server.store.close()
    files = [*Path(store_url.removeprefix("sqlite:///")).parent.glob("ocsentry.db*")]
    stored = b"".join(file.read_bytes() for file in files)
    for secret in (secret_of(made), made.json()["secret"].encode(), *(one.encode() for one in codes)):
        assert secret not in stored
        assert secret not in audit.encode()


@pytest.mark.usefixtures("api")
async def test_a_server_without_a_key_says_so(server):
    transport = httpx.ASGITransport(create_app(replace(server.services, totp=None)), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers) as client:
        answer = await client.post(URL)
        assert answer.status_code == 503
        assert "auth.totp.key_file" in answer.json()["detail"]
        assert (await client.get(URL)).status_code == 200


async def test_names_and_codes_in_other_scripts(server):
    """A name does not fit a header as it is, and a code of other digits is wrong like any other."""
    await server.client.post("/api/v1/users", json={"name": "Łukasz", "password": "correct horse"})
    made = await server.client.post("/api/v1/users/Łukasz/totp")
    assert made.status_code == 201
    assert (await server.client.get(made.headers["location"])).json()["state"] == "pending"
    for wrong in ("١٢٣٤٥٦", "\udc80" * 6, "ÿÿÿÿÿÿ"):
        body = json.dumps({"code": wrong}).encode()
        headers = {"content-type": "application/json"}
        answer = await server.client.post("/api/v1/users/Łukasz/totp/confirm", content=body, headers=headers)
        assert answer.status_code == 422, wrong
