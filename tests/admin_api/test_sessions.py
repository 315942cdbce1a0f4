# SPDX-License-Identifier: GPL-3.0-or-later
"""``/sessions``: live sessions and accounting records."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from admin_api.http.identity import Scope
from vpn_frontend.ports import CloseReason, JournalEntry, Stage, WaitingLogin

pytestmark = pytest.mark.asyncio

URL = "/api/v1/sessions"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", URL), ("GET", f"{URL}/history"), ("GET", f"{URL}/s1"), ("DELETE", f"{URL}/s1")]
)
async def test_access(server, view, method, path):
    server.sessions.add(view())
    assert (await server.anonymous.request(method, path)).status_code == 401
    wrong = await server.client_with(Scope.SESSIONS_READ if method != "GET" else Scope.USERS_WRITE)
    assert (await wrong.request(method, path)).status_code == 403
    assert server.sessions.views


class TestLive:
    async def test_list(self, server, view):
        for name in ("c", "a", "b"):
            server.sessions.add(view(name, user=name))
        first = (await server.client.get(URL, params={"limit": 2})).json()
        second = (await server.client.get(URL, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [item["id"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
        session = first["items"][0]
        assert session["address"] == "198.51.100.7"
        assert session["counters"]["rx_bytes"] == 100
        assert session["started_at"] == "2030-01-02T03:04:05Z"
        assert session["state"] == "connected"
        mine = (await server.client.get(URL, params={"user": "b"})).json()
        assert [item["id"] for item in mine["items"]] == ["b"]

    async def test_one(self, server, view):
        server.sessions.add(view())
        assert (await server.client.get(f"{URL}/s1")).json()["user"] == "alice"
        assert (await server.client.get(f"{URL}/s2")).status_code == 404

    async def test_kill(self, server, view):
        server.sessions.add(view())
        assert (await server.client.delete(f"{URL}/s1")).status_code == 204
        assert "administrator" in server.sessions.farewells["s1"]
        assert (await server.client.delete(f"{URL}/s1")).status_code == 404
        (entry,) = [
            e for e in (await server.client.get("/api/v1/audit")).json()["items"] if e["action"] == "session_killed"
        ]
        assert entry["detail"] == {"user": "alice"}


class TestHistory:
    async def test_accounts(self, server, view):
        for name in ("a", "b", "c"):
            await server.store.record([JournalEntry(Stage.OPENED, view(name, user=f"user-{name}"))])
        await server.store.record([JournalEntry(Stage.CLOSED, view("b", user="user-b"), CloseReason.LOGOUT)])
        first = (await server.client.get(f"{URL}/history", params={"limit": 2})).json()
        rest = (await server.client.get(f"{URL}/history", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        accounts = first["items"] + rest["items"]
        assert [account["id"] for account in accounts] == ["c", "b", "a"]
        assert [account["end_reason"] for account in accounts] == [None, "logout", None]
        assert accounts[1]["tx_bytes"] == 200
        mine = (await server.client.get(f"{URL}/history", params={"user": "user-a"})).json()
        assert [account["id"] for account in mine["items"]] == ["a"]

    async def test_cursor_of_another_list(self, server):
        answer = await server.client.get(f"{URL}/history", params={"cursor": "YWJj"})
        assert answer.status_code == 422


class TestDeleteSessions:
    async def test_all_of_a_user_with_a_reason(self, server, view):
        server.sessions.add(view("s1"))
        server.sessions.add(view("s2"))
        server.sessions.add(view("s3", user="bob"))
        answer = await server.client.delete(URL, params={"user": "alice", "reason": "Maintenance"})
        assert (answer.status_code, answer.json()) == (200, {"sessions_cut": 2})
        assert [one.id for one in server.sessions.list()] == ["s3"]
        assert server.sessions.farewells["s1"].endswith("Maintenance")
        row = (await server.client.get("/api/v1/audit", params={"limit": 1})).json()["items"][0]
        assert (row["action"], row["target"]) == ("sessions_killed", "alice")

    async def test_a_dry_run(self, server, view):
        server.sessions.add(view("s1"))
        answer = await server.client.delete(URL, params={"user": "alice", "dry_run": "true"})
        assert answer.json() == {"sessions_cut": 1}
        assert server.sessions.list()

    async def test_without_a_user(self, server, view):
        server.sessions.add(view("s1"))
        assert (await server.client.delete(URL)).status_code == 422
        assert server.sessions.list()

    async def test_one_with_a_reason(self, server, view):
        server.sessions.add(view("s1"))
        assert (await server.client.delete(f"{URL}/s1", params={"reason": "Why"})).status_code == 204
        assert server.sessions.farewells["s1"].endswith("Why")
        assert (await server.client.delete(f"{URL}/s1", params={"reason": "a\nb"})).status_code == 422


class TestWaitingLogins:
    async def test_they_are_listed_and_ended(self, server):
        when = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
        server.sessions.waiting = [WaitingLogin("w1", "dave", ("staff",), None, "agent", when, 300, True)]
        answer = await server.client.get("/api/v1/sessions/waiting")
        assert [(one["id"], one["user"], one["by_certificate"]) for one in answer.json()["items"]] == [
            ("w1", "dave", True)
        ]
        answer = await server.client.delete("/api/v1/sessions/w1?dry_run=true")
        assert answer.json() == {"sessions_cut": 1}
        await server.client.delete("/api/v1/sessions/w1")
        assert "w1" in server.sessions.farewells


class TestStatistics:
    async def test_they_are_shown_and_reset(self, server):
        server.sessions.counter.login_refused()
        server.sessions.counter.login_accepted(0.5)
        found = (await server.client.get("/api/v1/sessions/statistics")).json()
        assert (found["refused_logins"], found["refused_logins_in_period"], found["average_login"]) == (1, 1, 0.5)
        assert (await server.client.delete("/api/v1/sessions/statistics")).status_code == 204
        found = (await server.client.get("/api/v1/sessions/statistics")).json()
        assert (found["refused_logins"], found["refused_logins_in_period"], found["average_login"]) == (1, 0, 0.0)
