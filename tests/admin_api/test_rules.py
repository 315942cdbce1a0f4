# SPDX-License-Identifier: GPL-3.0-or-later
"""``/rules``: list, create, replace and delete."""

from __future__ import annotations

import pytest

from admin_api.enforcement.policy.safeguards import MAX_CUT
from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio

URL = "/api/v1/rules"
RULE = {"id": "no_tests", "type": "blacklist", "remote_addr": "198.51.100.0/24", "description": "Tests"}
INSIDE = "198.51.100.7"


class TestCreateRule:
    async def test_anonymous(self, server):
        assert (await server.anonymous.post(URL, json=RULE)).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.RULES_READ)).post(URL, json=RULE)).status_code == 403

    async def test_is_in_force_and_cuts_sessions_before_the_answer(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await server.client.post(URL, json=RULE)
        assert answer.status_code == 201
        assert answer.json()["sessions_cut"] == 1
        assert answer.json()["source"] == "api"
        assert answer.headers["location"] == f"{URL}/no_tests"
        assert server.engine.explain(INSIDE).verdict.rule_id == "no_tests"
        assert (await server.client.get(f"{URL}/no_tests")).headers["etag"] == answer.headers["etag"]

    @pytest.mark.parametrize(
        ("rule", "pointer"),
        [
            ({**RULE, "remote_addr": "198.51.100.7/24"}, "/remote_addr"),
            ({**RULE, "colour": "red"}, "/colour"),
            ({**RULE, "ttl": -5}, "/ttl"),
            ({"id": "x", "type": "nothing"}, ""),
        ],
    )
    async def test_problems_point_into_the_rule(self, server, rule, pointer):
        answer = await server.client.post(URL, json=rule)
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["code"] == "invalid_policy"
        assert problem["errors"][0]["pointer"].startswith(pointer)
        assert not problem["errors"][0]["pointer"].startswith("/wolfsentry")
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_without_id(self, server):
        answer = await server.client.post(URL, json={"type": "blacklist"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/id"

    @pytest.mark.parametrize("rule_id", ["corporate", "no_tests"])
    async def test_taken_id(self, server, rule_id):
        await server.client.post(URL, json=RULE)
        answer = await server.client.post(URL, json={**RULE, "id": rule_id})
        assert answer.status_code == 409
        assert answer.json()["code"] == "already_exists"

    async def test_ttl_counts_from_now(self, server):
        answer = await server.client.post(URL, json={**RULE, "ttl": 3600})
        assert answer.status_code == 201
        assert "ttl" not in answer.json()["document"]
        left = answer.json()["expires_at"]
        assert left is not None
        assert not server.engine.explain(INSIDE).verdict.accepted
        await server.enforcement.reload()
        assert (await server.client.get(f"{URL}/no_tests")).json()["expires_at"] == left

    async def test_own_address_needs_force(self, server):
        rule = RULE | {"remote_addr": "192.0.2.0/24"}
        answer = await server.client.post(URL, json=rule)
        assert answer.status_code == 409
        assert answer.json()["code"] == "self_lockout"
        assert server.engine.explain("192.0.2.200").verdict.accepted
        assert (await server.client.post(URL, json=rule, params={"force": True})).status_code == 201

    async def test_many_sessions_need_force(self, server, view):
        for number in range(MAX_CUT + 1):
            server.sessions.add(view(id=f"s{number}", address=INSIDE))
        answer = await server.client.post(URL, json=RULE)
        assert answer.status_code == 409
        assert answer.json()["code"] == "needs_force"
        assert len(server.sessions.views) == MAX_CUT + 1
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.post(URL, json=RULE, params={"force": True})).status_code == 201

    async def test_dry_run(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await server.client.post(URL, params={"dry_run": True}, json=RULE)
        assert answer.status_code == 200
        assert answer.json()["sessions_cut"] == 1
        assert "location" not in answer.headers
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.get(f"{URL}/no_tests")).status_code == 404


class TestReadRules:
    async def test_anonymous(self, server):
        assert (await server.anonymous.get(URL)).status_code == 401
        assert (await server.anonymous.get(f"{URL}/corporate")).status_code == 401

    async def test_wrong_scope(self, server):
        client = await server.client_with(Scope.BLOCKS_READ)
        assert (await client.get(URL)).status_code == 403
        assert (await client.get(f"{URL}/corporate")).status_code == 403

    async def test_files_and_api_in_one_list(self, server):
        await server.client.post(URL, json=RULE)
        server.engine.decide("connect", INSIDE)
        seen, cursor = [], None
        for _ in range(3):
            page = (await server.client.get(URL, params={"limit": 1} | ({"cursor": cursor} if cursor else {}))).json()
            seen += page["items"]
            cursor = page["next_cursor"]
        assert cursor is None
        assert [(rule["id"], rule["source"]) for rule in seen] == [
            ("corporate", "file"),
            ("no_lab", "file"),
            ("no_tests", "api"),
        ]
        assert seen[0]["file"].endswith("rules.json")
        assert seen[0]["pointer"] == "/wolfsentry/rules/0"
        assert seen[0]["document"]["remote_addr"] == "203.0.113.0/24"
        assert seen[2]["hits"] >= 1

    async def test_every_kind_of_rule_is_shown(self, server):
        (server.rules_folder / "bad.txt").write_text("192.0.2.99\n")
        server.write_rules(
            {
                "wolfsentry": {
                    "version": "1.6.3",
                    "rules": [
                        {
                            "id": "rate",
                            "type": "rate_limit",
                            "remote_addr": "0.0.0.0/0",
                            "max_connections_per_minute": 5,
                        },
                    ],
                    "users": [{"id": "home", "user": ["alice"], "remote_addr": "198.51.100.0/24"}],
                    "feeds": [{"id": "bad", "path": "bad.txt"}],
                }
            },
            "kinds.json",
        )
        assert (await server.client.post("/api/v1/policy/reload")).status_code == 200
        rules = {rule["id"]: rule["document"] for rule in (await server.client.get(URL)).json()["items"]}
        assert rules["rate"]["max_connections_per_minute"] == 5
        assert rules["home"]["user"] == ["alice"]
        assert rules["home"]["remote_addr"] == "198.51.100.0/24"
        assert rules["bad"]["path"].endswith("bad.txt")
        assert (await server.client.get("/api/v1/policy")).json()["rules"] == 5

    async def test_conditional_get(self, server):
        etag = (await server.client.get(f"{URL}/corporate")).headers["etag"]
        same = await server.client.get(f"{URL}/corporate", headers={"If-None-Match": f'"other", {etag}'})
        assert same.status_code == 304
        assert same.content == b""
        other = await server.client.get(f"{URL}/corporate", headers={"If-None-Match": '"other"'})
        assert other.status_code == 200

    async def test_unknown(self, server):
        assert (await server.client.get(f"{URL}/nothing")).status_code == 404


class TestReplaceRule:
    async def test_anonymous(self, server):
        assert (await server.anonymous.put(f"{URL}/x", json=RULE)).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.RULES_READ)).put(f"{URL}/x", json=RULE)).status_code == 403

    async def test_with_its_etag(self, server):
        etag = (await server.client.post(URL, json=RULE)).headers["etag"]
        changed = {**RULE, "remote_addr": "192.0.2.1"}
        answer = await server.client.put(f"{URL}/no_tests", json=changed, headers={"If-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != etag
        assert server.engine.explain(INSIDE).verdict.accepted
        assert not server.engine.explain("192.0.2.1").verdict.accepted
        stale = await server.client.put(f"{URL}/no_tests", json=RULE, headers={"If-Match": etag})
        assert stale.status_code == 412
        assert stale.json()["code"] == "stale"
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_needs_if_match(self, server):
        await server.client.post(URL, json=RULE)
        answer = await server.client.put(f"{URL}/no_tests", json=RULE)
        assert answer.status_code == 428

    async def test_invalid_replacement_keeps_the_old_rule(self, server):
        etag = (await server.client.post(URL, json=RULE)).headers["etag"]
        answer = await server.client.put(f"{URL}/no_tests", json={**RULE, "type": 5}, headers={"If-Match": etag})
        assert answer.status_code == 422
        assert not server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.get(f"{URL}/no_tests")).headers["etag"] == etag

    async def test_other_id(self, server):
        await server.client.post(URL, json=RULE)
        answer = await server.client.put(f"{URL}/no_tests", json={**RULE, "id": "x"}, headers={"If-Match": "*"})
        assert answer.status_code == 422

    async def test_rule_of_a_file(self, server):
        answer = await server.client.put(
            f"{URL}/corporate", json={**RULE, "id": "corporate"}, headers={"If-Match": "*"}
        )
        assert answer.status_code == 409
        assert answer.json()["code"] == "from_file"
        assert "rules.json" in answer.json()["detail"]


class TestDeleteRule:
    async def test_anonymous(self, server):
        assert (await server.anonymous.delete(f"{URL}/x")).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.RULES_READ)).delete(f"{URL}/x")).status_code == 403

    async def test_is_accepted_again_before_the_answer(self, server):
        etag = (await server.client.post(URL, json=RULE)).headers["etag"]
        assert (await server.client.delete(f"{URL}/no_tests")).status_code == 428
        assert (await server.client.delete(f"{URL}/no_tests", headers={"If-Match": etag})).status_code == 204
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.delete(f"{URL}/no_tests", headers={"If-Match": etag})).status_code == 404

    async def test_own_exemption_needs_force(self, server):
        await server.client.post(URL, json={"id": "me", "type": "whitelist", "remote_addr": "192.0.2.200"})
        await server.client.post(URL, json=RULE | {"remote_addr": "192.0.2.0/24"})
        answer = await server.client.delete(f"{URL}/me", headers={"If-Match": "*"})
        assert answer.status_code == 409
        assert server.engine.explain("192.0.2.200").verdict.accepted
        answer = await server.client.delete(f"{URL}/me", headers={"If-Match": "*"}, params={"force": True})
        assert answer.status_code == 204

    async def test_recreated_rule_has_another_etag(self, server):
        first = (await server.client.post(URL, json=RULE)).headers["etag"]
        await server.client.delete(f"{URL}/no_tests", headers={"If-Match": first})
        second = (await server.client.post(URL, json=RULE)).headers["etag"]
        assert second != first


class TestSourceOfFileRules:
    async def test_nothing_of_a_rule_is_lost(self, server):
        written = {
            "id": "slow",
            "type": "rate_limit",
            "remote_addr": "0.0.0.0/0",
            "max_connections_per_minute": 5,
            "penalty_duration_sec": 300,
            "penalty_growth": 3.0,
            "blacklist_threshold": 4,
            "schedule": [{"days": ["mon"], "from": "08:00", "to": "18:00", "zone": "UTC"}],
        }
        path = server.write_rules({"wolfsentry": {"version": "1", "rules": [written]}}, "slow.json")
        assert (await server.client.post("/api/v1/policy/reload")).status_code == 200
        rule = (await server.client.get(f"{URL}/slow")).json()
        assert rule["document"] == written
        assert (rule["file"], rule["pointer"]) == (str(path), "/wolfsentry/rules/0")

    async def test_a_long_list_of_networks_is_cut_off(self, server):
        networks = [f"10.0.{n}.0/24" for n in range(150)]
        written = {"id": "many", "type": "blacklist", "remote_addr": networks, "action": "reject"}
        server.write_rules({"wolfsentry": {"version": "1", "rules": [written]}}, "many.json")
        await server.client.post("/api/v1/policy/reload")
        shown = (await server.client.get(f"{URL}/many")).json()["document"]
        assert shown == written | {"remote_addr": networks[:100]}


@pytest.mark.parametrize("text", ["two\r\nlines", "\x1b[2J", "nul\x00", "\u202e"])
async def test_a_description_has_no_control_characters(server, text):
    rule = {"id": "plain", "type": "blacklist", "remote_addr": "198.51.100.0/25"}
    made = await server.client.post(URL, json=rule)
    etag = {"If-Match": made.headers["etag"]}
    bad = {"description": text}
    for answer in (
        await server.client.post(URL, json=rule | bad | {"id": "other"}),
        await server.client.put(f"{URL}/plain", json=rule | bad, headers=etag),
        await server.client.patch(f"{URL}/plain", json=bad, headers=etag),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/description")


async def test_a_rule_with_a_slash_in_its_id_lives_and_ends(server):
    made = await server.client.post(URL, json=RULE | {"id": "a/b"})
    assert made.headers["location"] == f"{URL}/a/b"
    for name in ("a/b", "a%2Fb"):
        assert (await server.client.get(f"{URL}/{name}")).json()["id"] == "a/b"
    etag = {"If-Match": made.headers["etag"]}
    assert (await server.client.delete(f"{URL}/a/b", headers=etag)).status_code == 204
    assert server.engine.explain(INSIDE).verdict.accepted


class TestChangeRule:
    async def test_a_patch_changes_what_it_names(self, server):
        made = await server.client.post(URL, json=RULE)
        etag = {"If-Match": made.headers["etag"]}
        answer = await server.client.patch(f"{URL}/no_tests", json={"description": None, "ttl": 60}, headers=etag)
        assert answer.status_code == 200, answer.text
        document = answer.json()["document"]
        assert document.pop("expires_at")
        assert document == {key: RULE[key] for key in ("id", "type", "remote_addr")}
        assert (await server.client.patch(f"{URL}/no_tests", json={}, headers=etag)).status_code == 412
        assert (await server.client.patch(f"{URL}/no_tests", json={})).status_code == 428

    async def test_the_id_stays(self, server):
        await server.client.post(URL, json=RULE)
        answer = await server.client.patch(f"{URL}/no_tests", json={"id": "b"}, headers={"If-Match": "*"})
        assert answer.json()["errors"][0]["pointer"] == "/id"

    async def test_of_a_file_or_of_nothing(self, server):
        for name, code in (("corporate", "from_file"), ("none", "not_found")):
            answer = await server.client.patch(f"{URL}/{name}", json={}, headers={"If-Match": "*"})
            assert answer.json()["code"] == code
