# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy with several nodes: in force on all live ones or on none, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from admin_api.clock import SYSTEM_CLOCK
from admin_api.enforcement.policy.changes import Application
from admin_api.fleet.policy import rollout
from admin_api.fleet.policy.answers import answers_of, latest_proposal
from admin_api.http.problems import ApiError
from sentry_engine import PolicyError
from tests.admin_api.fleet.conftest import seen
from tests.admin_api.fleet.policy.conftest import INSIDE, OTHER, change, level, rule, votes, write

pytestmark = pytest.mark.asyncio


async def test_a_rule_is_in_force_on_all_nodes_when_the_change_returns(pair, ask):
    one, other = pair
    await one.enforcement.change_rule(change("guests", rule("guests")))
    assert one.refuses(INSIDE)
    assert other.refuses(INSIDE)
    await level(pair, ask)
    assert one.enforcement.version == other.enforcement.version
    await other.enforcement.change_rule(change("guests", None))
    assert not one.refuses(INSIDE)
    assert not other.refuses(INSIDE)
    number = other.enforcement.version
    answers = (await answers_of(one.store, [number]))[number]
    assert [(answer.node, answer.ok, answer.problems) for answer in answers] == [("n1", True, []), ("n2", True, [])]


async def test_a_node_that_cannot_compile_it_keeps_it_from_all(pair, folders, ask):
    one, other = pair
    write(folders[1], "more.json", rule("guests", OTHER))  # an id that only this node has in a file
    assert (await other.enforcement.reload(automatic=True)).valid
    before = one.enforcement.version
    with pytest.raises(PolicyError, match=r"n2: .*guests") as caught:
        await one.enforcement.change_rule(change("guests", rule("guests")))
    assert all(problem.file.startswith("n2") for problem in caught.value.problems)
    assert not one.refuses(INSIDE)
    assert not other.refuses(INSIDE)
    assert ask("SELECT count(*) FROM rules") == [(0,)]
    assert ask("SELECT max(number) FROM policy_revisions") == [(max(before, other.enforcement.version),)]
    told = await latest_proposal(one.store)
    assert (told.state, told.node, [answer.ok for answer in told.answers]) == ("aborted", "n1", [True, False])
    assert "guests" in told.reason
    assert one.seen.of("fleet_policy_aborted")[0]["problems"][0].startswith("n2")
    await one.enforcement.change_rule(change("staff", rule("staff")))  # the next one is not held up
    assert other.refuses(INSIDE)


async def test_rule_files_are_reloaded_on_all_nodes_or_on_none(pair, folders, ask):
    one, other = pair
    write(folders[0], "more.json", rule("guests"))
    (folders[1] / "more.json").write_text("{")
    report = await one.enforcement.reload(by="me", everywhere=True)
    assert not report.valid
    assert report.problems[0].file.startswith("n2")
    assert one.enforcement.status().failure is None, "it was no fault of this node"
    assert not one.refuses(INSIDE)
    write(folders[1], "more.json", rule("guests"))
    assert (await one.enforcement.reload(by="me", everywhere=True)).valid
    assert one.refuses(INSIDE)
    assert other.refuses(INSIDE)
    await level(pair, ask)  # the same file in another folder is noted by the other node as its own
    assert one.enforcement.follower.digest == other.enforcement.follower.digest
    assert one.enforcement.version == other.enforcement.version


async def test_a_file_that_one_node_has_alone_is_shown_and_changes_nothing_elsewhere(pair, folders, ask):
    one, other = pair
    write(folders[1], "more.json", rule("guests"))
    assert (await other.enforcement.reload(automatic=True)).valid
    assert other.refuses(INSIDE)
    await one.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    assert not one.refuses(INSIDE)
    assert all(running.refuses(OTHER) for running in pair)
    await level(pair, ask)
    rows = ask("SELECT revision, digest FROM fleet.node_policies ORDER BY node")
    assert rows[0][0] == rows[1][0], "the number of its version is known to both"
    assert rows[0][1] != rows[1][1]


async def test_changes_of_two_nodes_at_once_follow_each_other(pair, ask):
    one, other = pair
    await asyncio.gather(
        one.enforcement.change_rule(change("a", rule("a"))),
        other.enforcement.change_rule(change("b", rule("b", OTHER))),
        one.enforcement.change_rule(change("c", rule("c", "192.0.2.0/24"))),
    )
    for running in pair:
        assert all(running.refuses(address) for address in (INSIDE, OTHER, "192.0.2.1"))
    await level(pair, ask)
    assert one.enforcement.version == other.enforcement.version


async def test_a_node_that_was_down_takes_over_what_is_active(pair, run_node, folders, ask):
    one, other = pair
    await other.node.stop()
    await one.enforcement.change_rule(change("guests", rule("guests")))
    assert one.refuses(INSIDE), "a node that has left is not waited for"
    again = await run_node("n3", rules=folders[1])
    assert again.refuses(INSIDE)
    await votes(again, ask)
    await again.enforcement.change_rule(change("guests", None))
    assert not one.refuses(INSIDE)


async def test_a_node_that_does_not_answer_is_named_until_it_counts_as_dead(pair, ask, monkeypatch):
    one, other = pair
    await other.node.changes.stop()
    with monkeypatch.context() as patch:
        patch.setattr(rollout, "ANSWER_WAIT", 0.3)
        with pytest.raises(ApiError, match="no answer from n2 within"):
            await one.enforcement.change_rule(change("guests", rule("guests")))
    assert not one.refuses(INSIDE)
    assert not other.refuses(INSIDE)
    changing = asyncio.create_task(one.enforcement.change_rule(change("guests", rule("guests"))))
    await seen(one, ask, "SELECT 1 FROM fleet.policy_versions WHERE state = 'proposed'")
    assert not one.refuses(INSIDE)
    await other.node.membership.stop()
    await changing
    assert one.refuses(INSIDE)


async def test_a_turn_is_taken_away_from_a_node_that_is_gone_and_from_no_other(pair, ask, monkeypatch):
    one, _ = pair
    monkeypatch.setattr(rollout, "TURN_WAIT", 0.0)
    ask("UPDATE fleet.policy_turn SET (node, epoch) = (SELECT id, epoch FROM fleet.nodes WHERE name = 'n2')")
    with pytest.raises(ApiError, match="The node n2 changes the policy"):
        await one.enforcement.change_rule(change("guests", rule("guests")))
    await one.enforcement.change_rule(change("guests", rule("guests"), dry_run=True))
    assert not one.refuses(INSIDE)
    ask("UPDATE fleet.policy_turn SET node = 99, epoch = 1")
    ask("INSERT INTO fleet.policy_versions (document, proposed_by) VALUES ('{}', 99)")
    await one.enforcement.change_rule(change("guests", rule("guests")))
    assert one.refuses(INSIDE)
    assert ask("SELECT state FROM fleet.policy_versions ORDER BY version") == [("aborted",), ("active",)]


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE fleet.policy_versions SET state = 'aborted' WHERE state = 'proposed'",
        "UPDATE fleet.policy_acks SET ok = false, error = '[]' WHERE node = (SELECT max(id) FROM fleet.nodes)",
    ],
    ids=["taken away", "refused by a node that counts again"],
)
async def test_what_has_lost_its_agreement_until_it_is_sealed_is_in_force_nowhere(meanwhile, pair, ask, monkeypatch):
    one, other = pair
    agree = one.enforcement._state.rollout.agree

    async def agree_too_late(plan):
        proposal = await agree(plan)
        ask(meanwhile)
        return proposal

    monkeypatch.setattr(one.enforcement._state.rollout, "agree", agree_too_late)
    with pytest.raises(ApiError, match="has not changed on any node"):
        await one.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    assert not one.refuses(OTHER)
    assert not other.refuses(OTHER)
    assert ask("SELECT id FROM rules") == []
    assert ask("SELECT state FROM fleet.policy_versions") == [("aborted",)]


async def test_a_policy_is_confirmed_or_rolled_back_from_any_node(pair):
    one, other = pair
    wanted = Application("me", rules={"guests": rule("guests")}, confirm_within=600, force=True)
    await one.enforcement.editor.apply(wanted)
    assert other.refuses(INSIDE)
    with pytest.raises(ApiError, match="waits to be confirmed"):
        await other.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    assert await other.enforcement.editor.confirm("you") == one.enforcement.version
    await one.enforcement.editor.apply(replace(wanted, rules={}))
    assert not other.refuses(INSIDE)
    await other.enforcement.editor.roll_back(Application("you", force=True))
    assert one.refuses(INSIDE)
    assert one.enforcement.status().confirm_by is None


async def test_a_policy_of_a_node_that_is_gone_is_rolled_back_by_another(run_node, folders, ask):
    """The clock of the other one is an hour ahead: there the time to confirm is over at once."""
    ahead = replace(SYSTEM_CLOCK, wall=lambda: SYSTEM_CLOCK.wall() + timedelta(hours=1))
    one = await run_node("n1", rules=folders[0])
    await votes(one, ask)
    wanted = Application("me", rules={"guests": rule("guests")}, confirm_within=600, force=True)
    await one.enforcement.editor.apply(wanted)
    await one.node.stop()
    other = await run_node("n2", rules=folders[1], clock=ahead)
    await other.seen.wait_for("policy_rolled_back")
    assert not other.refuses(INSIDE)


async def test_a_rollback_holds_the_rule_files_on_all_nodes(run_node, folders, ask):
    folder = folders[0]
    one, other = await run_node("n1", rules=folder), await run_node("n2", rules=folder)
    for running in (one, other):
        await votes(running, ask)
    write(folder, "more.json", rule("guests"))
    await one.enforcement.editor.apply(Application("me", force=True))
    assert other.refuses(INSIDE)
    await other.enforcement.editor.roll_back(Application("you", force=True))
    assert not one.refuses(INSIDE)
    assert [len(running.enforcement.status().held) for running in (one, other)] == [1, 1]
