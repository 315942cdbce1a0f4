# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy where a node or the database fails in the middle, on a real PostgreSQL."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import OperationalError

from admin_api.fleet.membership.membership import NodeState
from admin_api.fleet.policy import rollout
from admin_api.http.problems import ApiError
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.conftest import seen
from tests.admin_api.fleet.policy.conftest import INSIDE, OTHER, change, level, rule, write

pytestmark = pytest.mark.asyncio


def lose_answer(monkeypatch, running, ask):
    """Have the transaction that makes a proposal active be committed, and its answer be lost."""
    write_unit = running.store.write

    @asynccontextmanager
    async def write_and_lose():
        async with write_unit() as unit:
            yield unit
        if ask("SELECT 1 FROM fleet.policy_versions WHERE state = 'active'"):
            monkeypatch.setattr(running.store, "write", write_unit)
            raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(running.store, "write", write_and_lose)


async def test_a_rule_whose_commit_was_not_answered_is_in_force_on_all_nodes(pair, ask, monkeypatch):
    one, other = pair
    lose_answer(monkeypatch, one, ask)
    with pytest.raises(OperationalError):
        await one.enforcement.change_rule(change("guests", rule("guests")))
    await level(pair, ask)
    assert other.refuses(INSIDE), "it was committed"
    assert one.refuses(INSIDE)
    assert one.enforcement.version == other.enforcement.version
    await one.enforcement.change_rule(change("guests", None))
    assert not one.refuses(INSIDE)
    assert not other.refuses(INSIDE)


async def test_rule_files_whose_commit_was_not_answered_are_in_force_on_all_nodes(pair, folders, ask, monkeypatch):
    one, other = pair
    for folder in folders:
        write(folder, "more.json", rule("guests"))
    lose_answer(monkeypatch, one, ask)
    with pytest.raises(OperationalError):
        await one.enforcement.reload(by="me", everywhere=True)
    await level(pair, ask)
    assert other.refuses(INSIDE)
    assert one.refuses(INSIDE)
    assert one.enforcement.follower.digest == other.enforcement.follower.digest


async def test_a_process_whose_name_another_one_has_taken_makes_nothing_active(pair, ask, monkeypatch):
    one, other = pair
    policies = one.enforcement._state.rollout
    agree = policies.agree

    async def agree_before_another_joins(plan):
        proposal = await agree(plan)
        ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE name = 'n1'")
        return proposal

    monkeypatch.setattr(policies, "agree", agree_before_another_joins)
    with pytest.raises(ApiError, match=r"has not changed on any node|is cut off"):
        await one.enforcement.change_rule(change("guests", rule("guests")))
    assert not one.refuses(INSIDE)
    assert not other.refuses(INSIDE)
    assert ask("SELECT count(*) FROM rules") == [(0,)]


async def test_a_process_of_an_old_epoch_proposes_nothing_and_ends_no_turn(pair, ask):
    number, epoch = ask("SELECT id, epoch FROM fleet.nodes WHERE name = 'n1'")[0]
    old, now = {"node": number, "epoch": epoch - 1}, {"node": number, "epoch": epoch}
    times = {"dead_after": 10.0, "longest": 120.0}
    assert ask(str(rollout.CLAIM), **now, **times) == [("",)]
    assert ask(str(rollout.PROPOSE), document="{}", **old) == []
    assert ask(str(rollout.CLAIM), **old, **times) == [("n1",)]
    assert ask(str(rollout.RELEASE), reason="", **old) == [(0,)]
    assert ask("SELECT node, epoch FROM fleet.policy_turn") == [(number, epoch)]


async def test_a_process_that_starts_between_answer_and_seal_is_asked_again(pair, ask):
    one, other = pair
    other.node.membership._ticker.cancel()
    other.node.membership._beats.turned_at = float("-inf")  # it tells no more beats
    ask("INSERT INTO fleet.policy_versions (document, proposed_by) VALUES ('null', 1)")
    ask("INSERT INTO fleet.policy_acks (version, node, epoch, ok) SELECT 1, id, epoch, true FROM fleet.nodes")

    def answers():
        return {name: ok for name, ok, _ in ask(str(rollout.ANSWERS), version=1, dead_after=10 * TIMEOUT)}

    assert answers() == {"n1": True, "n2": True}
    ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE name = 'n2'")
    assert answers() == {"n1": True, "n2": None}
    me = one.node.membership.identity
    seal = {"node": me.node, "epoch": me.epoch, "version": 1, "revision": 1, "dead_after": 10 * TIMEOUT}
    ask("UPDATE fleet.policy_turn SET node = :node, epoch = :epoch", node=me.node, epoch=me.epoch)
    assert ask(str(rollout.SEAL), **seal) == [(False,)]
    ask("UPDATE fleet.nodes SET epoch = epoch - 1 WHERE name = 'n2'")
    assert ask(str(rollout.SEAL), **seal) == [(True,)]


async def test_a_node_that_has_joined_again_answers_again(pair, ask):
    _, other = pair
    ask("INSERT INTO fleet.policy_versions (document, proposed_by) VALUES ('null', 1)")
    ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE name = 'n2'")
    answered = "SELECT 1 FROM fleet.policy_acks a JOIN fleet.nodes n ON n.id = a.node AND n.epoch = a.epoch"
    await seen(other, ask, answered)


async def test_aborted_proposals_keep_no_rules(pair, ask):
    number, epoch = ask("SELECT id, epoch FROM fleet.nodes WHERE name = 'n1'")[0]
    for _ in range(2):
        ask("INSERT INTO fleet.policy_versions (document, proposed_by) VALUES ('[1]', 99)")
    assert ask(str(rollout.CLAIM), node=number, epoch=epoch, dead_after=10.0, longest=120.0) == [("",)]
    assert ask("SELECT state, document FROM fleet.policy_versions") == [("aborted", None)] * 2


async def test_rule_files_are_reloaded_on_all_nodes_after_a_restore(pair, folders, ask):
    """The restored database counts its proposals from an earlier number."""
    one, other = pair
    for name in ("a", "b"):
        await one.enforcement.change_rule(change(name, rule(name, OTHER)))
    await level(pair, ask)
    ask("DELETE FROM fleet.node_policies")
    ask("DELETE FROM fleet.policy_versions")
    ask("ALTER SEQUENCE fleet.policy_proposals RESTART")
    ask("UPDATE fleet.head SET tag = gen_random_uuid()")
    ask("UPDATE fleet.log SET tag = (SELECT tag FROM fleet.head)")
    for running in pair:
        await running.seen.wait_for("fleet_store_restored")
        await running.node.membership.wait_for(NodeState.MEMBER)
        await running.node._rules.settle()
    for folder in folders:
        write(folder, "more.json", rule("guests"))
    assert (await one.enforcement.reload(by="me", everywhere=True)).valid
    assert one.refuses(INSIDE)
    assert other.refuses(INSIDE)


async def test_a_node_that_is_cut_off_right_after_the_commit_keeps_what_is_active(pair, ask, monkeypatch):
    one, other = pair
    policies, lease = one.enforcement._state.rollout, one.node.membership.lease
    spread = policies.spread

    async def spread_cut_off(proposal):
        with monkeypatch.context() as patch:
            patch.setattr(lease, "asserted", False)
            await spread(proposal)

    monkeypatch.setattr(policies, "spread", spread_cut_off)
    await one.enforcement.change_rule(change("guests", rule("guests")))
    assert one.refuses(INSIDE)
    await level(pair, ask)
    assert other.refuses(INSIDE)
