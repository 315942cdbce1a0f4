# SPDX-License-Identifier: GPL-3.0-or-later
"""``/policy`` and ``/explain``."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio

INSIDE = "198.51.100.7"


def document(*rules):
    return {"wolfsentry": {"version": "1.6.3", "rules": list(rules)}}


BLACKLIST = {"id": "fresh", "type": "blacklist", "remote_addr": "198.51.100.0/24"}
BAD = {"id": "bad", "type": "blacklist", "remote_addr": "nonsense"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/policy", Scope.RULES_READ),
        ("POST", "/api/v1/policy/check", Scope.RULES_READ),
        ("POST", "/api/v1/policy/simulate", Scope.POLICY_READ),
        ("POST", "/api/v1/policy/reload", Scope.POLICY_READ),
        ("GET", "/api/v1/explain?address=192.0.2.1", Scope.RULES_READ),
    ],
)
async def test_access(server, method, path, scope):
    assert (await server.anonymous.request(method, path)).status_code == 401
    assert (await (await server.client_with(scope)).request(method, path)).status_code == 403


class TestGetPolicy:
    async def test_export(self, server):
        await server.client.post("/api/v1/rules", json=BLACKLIST)
        policy = (await server.client.get("/api/v1/policy")).json()
        assert policy["rules"] == 3
        assert policy["failure"] is None
        assert [name.rpartition("/")[2] for name in policy["files"]] == ["rules.json"]  # of the API is none
        check = await server.client.post("/api/v1/policy/check", json=policy["api_rules"])
        assert check.json()["valid"]


class TestCheckPolicy:
    async def test_valid_policy_counts_the_sessions_it_would_cut(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await server.client.post("/api/v1/policy/check", json=document(BLACKLIST))
        assert answer.status_code == 200
        assert answer.json()["valid"]
        assert answer.json()["sessions_cut"] == 1
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_api_blocks_are_included(self, server, view):
        await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24"})
        server.sessions.add(view(address=INSIDE))
        answer = await server.client.post("/api/v1/policy/check", json=document())
        assert answer.json()["sessions_cut"] == 1

    async def test_errors_have_locations(self, server):
        answer = await server.client.post("/api/v1/policy/check", json=document(BLACKLIST, BAD))
        assert answer.status_code == 200
        assert not answer.json()["valid"]
        (problem,) = answer.json()["problems"]
        assert problem["pointer"].startswith("/wolfsentry/rules/1/remote_addr")

    async def test_warnings_are_reported(self, server):
        doubled = document(BLACKLIST, {**BLACKLIST, "id": "again"})
        doubled["wolfsentry"]["tests"] = [{"address": INSIDE, "event": "connect", "expect": "accept"}]
        answer = (await server.client.post("/api/v1/policy/check", json=doubled)).json()
        assert answer["valid"]
        assert {finding["kind"] for finding in answer["findings"]} >= {"duplicate", "failed_test"}
        assert all(finding["pointer"].startswith("/wolfsentry/") for finding in answer["findings"])

    async def test_several_documents(self, server):
        documents = {"a.json": document(BLACKLIST), "b.json": document(BLACKLIST)}
        answer = await server.client.post("/api/v1/policy/check", json={"documents": documents})
        (problem,) = answer.json()["problems"]
        assert problem["file"] == "b.json"
        assert "already used in a.json" in problem["reason"]

    async def test_present_rule_files(self, server):
        server.write_rules(document(BLACKLIST), "more.json")
        answer = await server.client.post("/api/v1/policy/check")
        assert answer.json()["valid"]
        assert answer.json()["rules"] == 3
        server.write_rules("{", "more.json")
        answer = await server.client.post("/api/v1/policy/check")
        assert not answer.json()["valid"]
        assert server.enforcement.status().failure is None

    @pytest.mark.parametrize("body", [[], "text", {"documents": []}, {"documents": {"a": 5}}, {}, {"wolfsentry": None}])
    async def test_malformed_documents(self, server, body):
        answer = await server.client.post("/api/v1/policy/check", json=body)
        assert answer.status_code == 422 or not answer.json()["valid"]


class TestReloadPolicy:
    async def test_reload_applies_files_and_disconnects(self, server, view):
        server.sessions.add(view(address=INSIDE))
        server.write_rules(document(BLACKLIST), "more.json")
        dry = await server.client.post("/api/v1/policy/reload", params={"dry_run": True})
        assert dry.json()["sessions_cut"] == 1
        assert server.engine.explain(INSIDE).verdict.accepted
        answer = await server.client.post("/api/v1/policy/reload")
        assert answer.status_code == 200
        assert answer.json()["sessions_cut"] == 1
        assert not server.engine.explain(INSIDE).verdict.accepted

    async def test_leaves_a_row_in_the_audit(self, server):
        await server.client.post("/api/v1/policy/reload")
        row = (await server.client.get("/api/v1/audit", params={"limit": 1})).json()["items"][0]
        assert row["action"] == "policy_reloaded"
        assert row["actor"].startswith("all#")

    async def test_error_changes_nothing_and_shows_everywhere(self, server):
        server.write_rules(document(BLACKLIST, BAD), "more.json")
        answer = await server.client.post("/api/v1/policy/reload")
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["code"] == "invalid_policy"
        assert problem["errors"][0]["file"].endswith("more.json")
        assert problem["errors"][0]["pointer"].startswith("/wolfsentry/rules/1")
        assert server.engine.explain(INSIDE).verdict.accepted
        ready = await server.anonymous.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["problems"] == ["policy"]  # details need a token
        assert "more.json" in (await server.client.get("/readyz")).json()["problems"][0]
        status = (await server.client.get("/api/v1/status")).json()
        assert not status["ready"]
        assert status["policy"]["failure"]["problems"][0]["file"].endswith("more.json")
        server.write_rules(document(BLACKLIST), "more.json")
        await server.client.post("/api/v1/policy/reload")
        assert (await server.anonymous.get("/readyz")).status_code == 200


class TestExplain:
    async def test_explains_each_tier(self, server):
        await server.client.post("/api/v1/blocks", json={"cidr": INSIDE})
        answer = (await server.client.get("/api/v1/explain", params={"address": INSIDE})).json()
        assert answer["verdict"]["action"] == "reject"
        assert answer["verdict"]["rule_id"].startswith("block:")
        assert [step["decisive"] for step in answer["steps"]].count(True) == 1
        counted = server.engine.counters().decisions
        await server.client.get("/api/v1/explain", params={"address": INSIDE})
        assert server.engine.counters().decisions == counted

    @pytest.mark.parametrize("params", [{}, {"address": "nonsense"}, {"address": INSIDE, "event": "dance"}])
    async def test_invalid(self, server, params):
        assert (await server.client.get("/api/v1/explain", params=params)).status_code == 422

    async def test_endless_penalty_is_json(self, server):
        server.engine.penalize(INSIDE, float("inf"), reason="blacklisted")
        answer = await server.client.get("/api/v1/explain", params={"address": INSIDE})
        assert answer.json()["verdict"]["retry_after"] is None


class TestSimulate:
    async def test_changed_verdicts_are_listed(self, server):
        for address, rule in ((INSIDE, None), ("192.0.2.1", None), ("192.0.2.1", "block:1")):
            action, reason = ("reject", "rule") if rule else ("accept", "default")
            server.services.events.emit(
                "decision", address=address, event="connect", verdict=action, reason=reason, rule=rule, missed=3
            )
        server.services.events.emit("decision", verdict="accept")  # lacks the fields for a replay
        answer = await server.client.post("/api/v1/policy/simulate", json=document(BLACKLIST))
        said = answer.json()
        assert (said["valid"], said["decisions"], said["missed"], said["changed"]) == (True, 3, 9, 1)
        (change,) = said["changes"]
        assert (change["address"], change["before"]["action"]) == (INSIDE, "accept")
        assert (change["after"]["action"], change["after"]["rule_id"]) == ("reject", "fresh")
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_the_present_rules_change_nothing(self, server):
        server.services.events.emit("decision", address=INSIDE, event="connect", verdict="accept", reason="default")
        assert (await server.client.post("/api/v1/policy/simulate")).json()["changed"] == 0

    async def test_problems_are_returned(self, server):
        said = (await server.client.post("/api/v1/policy/simulate", json=document(BAD))).json()
        assert not said["valid"]
        assert said["problems"][0]["pointer"] == "/wolfsentry/rules/0/remote_addr"
