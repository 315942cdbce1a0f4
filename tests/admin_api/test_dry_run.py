# SPDX-License-Identifier: GPL-3.0-or-later
"""A dry run changes nothing, and a misspelt one is refused."""

from __future__ import annotations

import re

import pytest

from admin_api.app import describe_api

pytestmark = pytest.mark.asyncio

CHANGES = {"post", "put", "patch", "delete"}
NEVER_CUT = {  # they disconnect no client
    "create_user", "import_users", "create_token", "create_console_link", "delete_token", "check_policy",
    "simulate_policy",
    "create_acme_challenge", "delete_acme_challenge",
    "enrol_totp", "confirm_totp", "reset_totp", "diff_policy", "confirm_policy", "cancel_operation",
    "change_device", "delete_device",
    "drain_node", "resume_node", "forget_node",
    "reset_session_statistics", "create_webhook", "change_webhook", "delete_webhook", "test_webhook", "repeat_delivery",
    "reload_server",  # may: it is what SIGHUP does; `diff_policy` and `apply_policy` try the rule files alone
    "refresh_feed",  # may: a list is its publisher's, and is downloaded without a request too
}  # fmt: skip


def operations():
    for path, methods in describe_api()["paths"].items():
        for method, operation in methods.items():
            yield pytest.param(path, method, operation, id=operation["operationId"])


@pytest.mark.parametrize(("path", "method", "operation"), [*operations()])
async def test_an_unknown_query_parameter_is_refused(server, path, method, operation):
    body = {} if method in {"post", "put", "patch"} else None
    url = re.sub(r"{\w+}", "x", path)
    answer = await server.client.request(method, url, params={"dryrun": "true"}, json=body)
    assert answer.status_code == 400
    assert any(error["pointer"] == "/dryrun" and error["file"] == "query" for error in answer.json()["errors"])


@pytest.mark.parametrize(("path", "method", "operation"), [*operations()])
async def test_what_can_disconnect_a_client_can_be_tried(path, method, operation):
    if method in CHANGES and operation["operationId"] not in NEVER_CUT:
        assert "dry_run" in [parameter["name"] for parameter in operation.get("parameters", [])]


class TestNothingChanges:
    async def test_user(self, server, view):
        await server.client.post("/api/v1/users", json={"name": "alice", "password": "x" * 12})
        before = (await server.client.get("/api/v1/users/alice")).json()
        server.sessions.add(view())
        for method, body in (("PUT", {"enabled": False}), ("PUT", {"password": "y" * 12}), ("DELETE", None)):
            answer = await server.client.request(
                method, "/api/v1/users/alice?dry_run=true", json=body, headers={"If-Match": "*"}
            )
            assert (answer.status_code, answer.json()["sessions_cut"]) == (200, 1)
        assert (await server.client.get("/api/v1/users/alice")).json() == before
        assert len(server.sessions.list()) == 1
        assert (await server.client.delete("/api/v1/users/bob?dry_run=true")).status_code == 404

    async def test_block(self, server):
        made = (await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24"})).json()
        url = f"/api/v1/blocks/{made['id']}"
        assert (await server.client.delete(f"{url}?dry_run=true")).json() == {"sessions_cut": 0}
        assert (await server.client.get(url)).status_code == 200
        assert not server.engine.explain("198.51.100.7").verdict.accepted
        assert (await server.client.delete("/api/v1/blocks/x?dry_run=true")).status_code == 404

    async def test_rule(self, server, view):
        await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24"})
        rule = {"id": "mine", "type": "whitelist", "remote_addr": "198.51.100.7"}
        await server.client.post("/api/v1/rules", json=rule)
        server.sessions.add(view(address="198.51.100.7"))
        answer = await server.client.delete("/api/v1/rules/mine?dry_run=true", headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()) == (200, {"sessions_cut": 1})
        assert (await server.client.get("/api/v1/rules/mine")).status_code == 200

    async def test_session(self, server, view):
        server.sessions.add(view())
        assert (await server.client.delete("/api/v1/sessions/s1?dry_run=true")).json() == {"sessions_cut": 1}
        assert server.sessions.get("s1") is not None
        assert (await server.client.delete("/api/v1/sessions/s2?dry_run=true")).status_code == 404

    async def test_penalties(self, server, monkeypatch):
        ended = []
        monkeypatch.setattr(server.engine, "clear_penalties", ended.append)
        assert (await server.client.delete("/api/v1/penalties?dry_run=true")).json() == {"forgiven": 0}
        assert ended == []
