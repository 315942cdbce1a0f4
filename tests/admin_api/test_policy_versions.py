# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of the policy: noted, compared, applied until confirmed, rolled back."""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio

from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.http.identity import Scope
from lab.timeouts import TIMEOUT
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import CALLER, NEVER_BLOCK, FakeSessions

pytestmark = pytest.mark.asyncio

URL = "/api/v1/policy"
RULES = "/api/v1/rules"
RULE = {"id": "no_tests", "type": "blacklist", "remote_addr": "198.51.100.0/24", "description": "Tests"}
INSIDE = "198.51.100.7"
OWN = {"id": "own", "type": "blacklist", "remote_addr": CALLER}
ANY = {"If-Match": "*"}


def document(*rules):
    return {"wolfsentry": {"version": "1.6.3", "rules": list(rules)}}


async def post(server, verb, body=None, **more):
    return await server.client.post(f"{URL}/{verb}", json=body, **more)


async def until(holds):
    async with asyncio.timeout(TIMEOUT):
        while not holds():  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0.02)


async def versions(server):
    return (await server.client.get(f"{URL}/versions")).json()["items"]


@pytest_asyncio.fixture
async def restart(store, rules_folder):
    """Another start of the server on the same store and files; the first one is not asked to stop: it was killed."""
    made = []

    async def start():
        engine = Engine(Policy.load(rules_folder), core="reference", never_block=NEVER_BLOCK)
        sessions = FakeSessions(engine)
        again = Enforcement(engine, sessions, store, [rules_folder], events=EventHub(), never_block=NEVER_BLOCK)
        made.append((again, engine))
        await again.start()
        return again, engine

    yield start
    for again, engine in made:
        await again.stop()
        engine.close()


class TestVersions:
    async def test_the_first_start_is_the_first_version(self, server):
        (first,) = await versions(server)
        assert (first["number"], first["action"], first["actor"]) == (1, "start", "system")
        assert (await server.client.get(URL)).json()["version"] == 1

    async def test_each_change_of_rule_or_file_is_one(self, server):
        made = await server.client.post(f"{RULES}?reason=Ticket+7", json=RULE)
        await server.client.delete(f"{RULES}/no_tests", headers={"If-Match": made.headers["etag"]})
        server.write_rules(document(), "more.json")
        await post(server, "reload")
        await post(server, "reload")  # changes nothing
        found = await versions(server)
        assert [(one["number"], one["action"], one["reason"]) for one in found] == [
            (4, "files", ""),
            (3, "rule_removed", ""),
            (2, "rule_added", "Ticket 7"),
            (1, "start", ""),
        ]
        assert found[2]["actor"].startswith("all#")

    async def test_one_version_shows_what_it_changed(self, server):
        await server.client.post(RULES, json=RULE)
        (change,) = (await server.client.get(f"{URL}/versions/2")).json()["changes"]
        assert (change["source"], change["name"], change["kind"]) == ("api", "no_tests", "added")
        assert change["before"] is None
        assert change["after"] == RULE
        assert '+  "id": "no_tests",' in change["diff"]

    async def test_filters(self, server):
        await server.client.post(RULES, json=RULE)
        found = await server.client.get(f"{URL}/versions?action=start&actor=system")
        assert [one["number"] for one in found.json()["items"]] == [1]

    @pytest.mark.parametrize("number", [0, 99, 2**40])
    async def test_unknown_version(self, server, number):
        assert (await server.client.get(f"{URL}/versions/{number}")).status_code == 404

    async def test_wrong_scope(self, server):
        reader = await server.client_with(Scope.POLICY_READ)
        for verb in ("apply", "confirm", "rollback"):
            assert (await reader.post(f"{URL}/{verb}", json={})).status_code == 403

    async def test_a_login_in_a_file_is_not_shown(self, server):
        feed = {"id": "f", "url": "https://user:secret@lists.example/x"}
        server.write_rules(json.dumps({"wolfsentry": {"version": "1", "feeds": [feed]}}, indent=1), "feed.json")
        answer = await post(server, "diff")
        assert "lists.example" in answer.text
        assert "secret" not in answer.text


class TestDiff:
    async def test_of_the_files_on_disk(self, server):
        path = server.write_rules(document(RULE), "more.json")
        (change,) = (await post(server, "diff")).json()["changes"]
        assert (change["source"], change["name"], change["kind"]) == ("file", str(path), "added")
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_of_a_document(self, server):
        await server.client.post(RULES, json=RULE)
        wanted = document({**RULE, "description": "New"}, OWN)
        changes = (await post(server, "diff", wanted)).json()["changes"]
        assert [(one["name"], one["kind"]) for one in changes] == [("no_tests", "changed"), ("own", "added")]
        assert '-  "description": "Tests",' in changes[0]["diff"]

    async def test_of_two_versions(self, server):
        made = await server.client.post(RULES, json=RULE)
        await server.client.delete(f"{RULES}/no_tests", headers={"If-Match": made.headers["etag"]})
        assert (await post(server, "diff?since=1")).json()["changes"] == []
        (change,) = (await post(server, "diff?since=1&until=2")).json()["changes"]
        assert change["kind"] == "added"
        assert (await post(server, "diff?since=77")).status_code == 404


class TestApply:
    async def test_a_document_replaces_the_rules_of_the_api(self, server, view):
        await server.client.post(RULES, json=OWN | {"id": "old", "remote_addr": "203.0.113.9"})
        server.sessions.add(view(address=INSIDE))
        etag = (await server.client.get(URL)).headers["etag"]
        answer = await post(server, "apply", {"document": document(RULE), "reason": "Why"}, headers={"If-Match": etag})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"version": 3, "rules": 3, "sessions_cut": 1, "confirm_by": None, "canary": []}
        assert answer.headers["etag"] == (await server.client.get(URL)).headers["etag"] != etag
        exported = (await server.client.get(URL)).json()["api_rules"]["wolfsentry"]["rules"]
        assert exported == [RULE]
        assert (await versions(server))[0]["reason"] == "Why"

    async def test_needs_the_etag(self, server):
        etag = (await server.client.get(URL)).headers["etag"]
        await server.client.post(RULES, json=RULE)
        assert (await post(server, "apply", {"document": document()})).status_code == 428
        stale = await post(server, "apply", {"document": document()}, headers={"If-Match": etag})
        assert stale.status_code == 412
        assert not server.engine.explain(INSIDE).verdict.accepted

    async def test_the_files_on_disk(self, server):
        server.write_rules(document(RULE), "more.json")
        assert (await post(server, "apply", {})).json()["version"] == 2
        assert not server.engine.explain(INSIDE).verdict.accepted

    @pytest.mark.parametrize(
        ("wanted", "pointer"),
        [
            ({"wolfsentry": {"version": "1", "default": "reject"}}, "/document/wolfsentry/default"),
            ({"rules": []}, "/document/wolfsentry"),
            (document(RULE, RULE), "/document/wolfsentry/rules/1/id"),
            (document({"type": "blacklist"}), "/document/wolfsentry/rules/0/id"),
            ({"wolfsentry": {"rules": 7}}, "/document/wolfsentry/rules"),
        ],
    )
    async def test_malformed(self, server, wanted, pointer):
        answer = await post(server, "apply", {"document": wanted}, headers=ANY)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer

    async def test_a_dry_run_changes_nothing(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await post(server, "apply?dry_run=true", {"document": document(RULE)}, headers=ANY)
        assert answer.json()["sessions_cut"] == 1
        assert server.sessions.list()
        assert len(await versions(server)) == 1

    async def test_lockout_needs_force(self, server):
        body = {"document": document(OWN)}
        answer = await post(server, "apply", body, headers=ANY)
        assert (answer.status_code, answer.json()["code"]) == (409, "self_lockout")
        assert (await post(server, "apply?force=true", body, headers=ANY)).status_code == 200


class TestConfirm:
    async def test_a_lockout_ends_by_itself(self, server):
        answer = await post(server, "apply", {"document": document(OWN), "confirm_within": 1}, headers=ANY)
        assert answer.status_code == 200, answer.text
        assert answer.json()["confirm_by"] is not None
        assert not server.engine.explain(CALLER).verdict.accepted
        await until(lambda: server.engine.explain(CALLER).verdict.accepted)
        await until(lambda: server.enforcement.status().confirm_by is None)
        found = await versions(server)
        assert [(one["action"], one["outcome"]) for one in found[:2]] == [
            ("rolled_back", None),
            ("applied", "rolled_back"),
        ]
        assert "not confirmed" in found[0]["reason"]

    async def test_a_confirmed_policy_stays(self, server):
        await post(server, "apply", {"document": document(RULE), "confirm_within": 60}, headers=ANY)
        assert (await post(server, "confirm")).json() == {"version": 2}
        assert server.enforcement.status().confirm_by is None
        assert (await versions(server))[0]["outcome"] == "confirmed"
        assert (await post(server, "confirm")).json()["code"] == "nothing_to_confirm"
        assert not server.engine.explain(INSIDE).verdict.accepted

    async def test_other_changes_wait(self, server):
        await post(server, "apply", {"document": document(), "confirm_within": 60}, headers=ANY)
        await post(server, "apply", {"document": document(RULE), "confirm_within": 60}, headers=ANY)
        for answer in (
            await server.client.post(RULES, json=OWN | {"remote_addr": "203.0.113.9"}),
            await post(server, "reload"),
            await post(server, "apply", {}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "confirmation_pending")
        assert (await server.client.post("/api/v1/blocks", json={"cidr": "203.0.113.99"})).status_code == 201

    async def test_a_file_that_changed_meanwhile_is_loaded_afterwards(self, server):
        await post(server, "apply", {"document": document(RULE), "confirm_within": 60}, headers=ANY)
        server.write_rules(document(OWN | {"remote_addr": "192.0.2.9"}), "more.json")
        await server.enforcement.reload(by="file watcher", automatic=True)
        assert server.enforcement.status().changed_files
        assert server.engine.explain("192.0.2.9").verdict.accepted
        await post(server, "confirm")
        await until(lambda: not server.engine.explain("192.0.2.9").verdict.accepted)
        assert not server.enforcement.status().changed_files

    async def test_it_is_rolled_back_after_a_kill(self, server, restart):
        await post(server, "apply", {"document": document(RULE), "confirm_within": 1}, headers=ANY)
        again, engine = await restart()
        await until(lambda: engine.explain(INSIDE).verdict.accepted)
        await until(lambda: again.status().confirm_by is None)

    async def test_a_restart_still_waits_for_the_confirmation(self, server, restart):
        await post(server, "apply", {"document": document(RULE), "confirm_within": 60}, headers=ANY)
        again, engine = await restart()
        assert again.status().confirm_by is not None
        assert not engine.explain(INSIDE).verdict.accepted
        await again.editor.confirm("operator")
        assert not engine.explain(INSIDE).verdict.accepted

    async def test_files_are_rolled_back_and_held(self, server, restart):
        path = server.write_rules(document(RULE), "more.json")
        await post(server, "apply", {"confirm_within": 60})
        assert not server.engine.explain(INSIDE).verdict.accepted
        await post(server, "rollback")
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.get(URL)).json()["held"] == [str(path)]
        await server.enforcement.reload(by="file watcher", automatic=True)
        assert server.engine.explain(INSIDE).verdict.accepted
        again, engine = await restart()
        assert engine.explain(INSIDE).verdict.accepted
        assert again.status().held == (str(path),)
        path.write_text(json.dumps(document(RULE | {"description": "edited"})))
        await again.reload(by="file watcher", automatic=True)
        assert not engine.explain(INSIDE).verdict.accepted
        assert again.status().held == ()

    async def test_a_caller_may_load_held_files(self, server):
        server.write_rules(document(RULE), "more.json")
        await post(server, "apply", {})
        await post(server, "rollback")
        assert server.engine.explain(INSIDE).verdict.accepted
        await post(server, "reload")
        assert not server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.get(URL)).json()["held"] == []


class TestRollback:
    async def test_to_a_version(self, server):
        made = await server.client.post(RULES, json=RULE)
        await server.client.put(
            f"{RULES}/no_tests", json=RULE | {"description": "Two"}, headers={"If-Match": made.headers["etag"]}
        )
        await server.client.post(RULES, json=OWN | {"remote_addr": "203.0.113.9"})
        answer = await post(server, "rollback", {"version": 2})
        assert answer.json()["version"] == 5
        exported = (await server.client.get(URL)).json()["api_rules"]["wolfsentry"]["rules"]
        assert exported == [RULE]

    async def test_a_changed_and_a_removed_file_return(self, server, rules_folder):
        path = rules_folder / "rules.json"
        before = path.read_text()
        path.write_text(json.dumps(document(RULE)))
        await post(server, "reload")
        assert not server.engine.explain(INSIDE).verdict.accepted
        await post(server, "rollback", {"version": 1})
        assert server.engine.explain("203.0.113.5").verdict.rule_id == "corporate"
        path.write_text(before)  # the disk agrees again
        await server.enforcement.reload(by="file watcher", automatic=True)
        assert server.enforcement.status().held == ()

    @pytest.mark.parametrize("version", [1, 99])
    async def test_not_an_earlier_version(self, server, version):
        assert (await post(server, "rollback", {"version": version})).status_code == 404

    async def test_a_file_that_is_too_large(self, server, monkeypatch):
        monkeypatch.setattr("sentry_engine.policy.rule_files.MAX_KEPT", 10)
        path = server.write_rules(document(RULE), "more.json")
        await post(server, "reload")
        path.write_text(json.dumps(document()))
        pending = await post(server, "apply", {"confirm_within": 60})
        assert (pending.status_code, pending.json()["code"]) == (409, "content_not_kept")
        await post(server, "reload")
        answer = await post(server, "rollback")
        assert (answer.status_code, answer.json()["code"]) == (409, "content_not_kept")


async def test_a_broken_file_does_not_block_the_rules_of_the_api(server):
    server.write_rules("{", "broken.json")
    made = await server.client.post(RULES, json=RULE)
    assert made.status_code == 201
    removed = await server.client.delete(f"{RULES}/no_tests", headers={"If-Match": made.headers["etag"]})
    assert removed.status_code == 204


async def test_an_edited_file_that_takes_the_id_of_a_rule_is_reported(server):
    await server.client.post(RULES, json=RULE)
    server.write_rules(document(RULE | {"remote_addr": "192.0.2.9"}), "more.json")
    answer = await post(server, "reload")
    assert answer.json()["code"] == "invalid_policy"
    assert "already used in" in answer.json()["errors"][0]["detail"]
    assert (await server.client.get(URL)).json()["failure"] is not None
    assert not server.engine.explain(INSIDE).verdict.accepted
