# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that is tried on one node first, with several nodes on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from admin_api.enforcement.policy.changes import Application
from admin_api.enforcement.policy.rollout import Alone
from admin_api.fleet.policy import canaries
from admin_api.fleet.policy.answers import latest_proposal
from admin_api.fleet.policy.canaries import latest_canary
from admin_api.http.problems import ApiError
from lab.timeouts import TIMEOUT
from sentry_engine import PlanError
from tests.admin_api.fleet.conftest import seen
from tests.admin_api.fleet.policy.conftest import INSIDE, OTHER, change, level, rule, votes, write

pytestmark = pytest.mark.asyncio
WANTED = Application("me", rules={"guests": rule("guests")}, confirm_within=600, force=True, canary=("n2",))


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(canaries, "SPREAD_WAIT", TIMEOUT)  # until its nodes have it, however slow the machine


def end_of(ask):
    return ask("SELECT fleet.canary_state_v1(c), c.ended_by FROM fleet.canaries c ORDER BY c.proposal DESC LIMIT 1")[0]


async def test_it_is_in_force_on_the_named_node_alone_until_it_is_confirmed(pair, ask):
    one, other = pair
    before = one.enforcement.version
    report = await one.enforcement.editor.apply(replace(WANTED, reason="Ticket 4711"))
    assert report.canary == ("n2",)
    assert other.refuses(INSIDE)
    assert not one.refuses(INSIDE)
    assert ask("SELECT count(*) FROM rules") == [(0,)]
    shown = await latest_canary(one.store, 10.0)
    assert (shown.state, shown.by, shown.reason) == ("running", "me", "Ticket 4711")
    assert shown.confirm_by == report.confirm_by
    assert [(node.name, node.in_force) for node in shown.nodes] == [("n2", True)]
    assert other.seen.of("fleet_canary_started")[0]["nodes"] == ["n2"]
    await level(pair, ask)
    for running in pair:
        with pytest.raises(ApiError, match="A canary by me runs on n2"):
            await running.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    version = await one.enforcement.editor.confirm("you")
    assert version > before
    assert one.refuses(INSIDE)
    assert other.refuses(INSIDE)
    await level(pair, ask)
    assert [running.enforcement.status().confirm_by for running in pair] == [None, None]
    assert [running.enforcement.version for running in pair] == [version, version]
    assert end_of(ask) == ("confirmed", "you")
    assert other.seen.of("fleet_canary_ended")[0]["outcome"] == "confirmed"
    await other.enforcement.change_rule(change("guests", None))
    assert not one.refuses(INSIDE)


async def test_it_is_withdrawn_by_command_from_any_node(pair, ask):
    one, other = pair
    for number, asked in enumerate((one, other), start=1):
        await one.enforcement.editor.apply(WANTED)
        assert other.refuses(INSIDE)
        await level(pair, ask)
        with pytest.raises(ApiError, match="roll that back first"):
            await asked.enforcement.editor.roll_back(Application("you", version=asked.enforcement.version + 1))
        await asked.enforcement.editor.roll_back(Application("you", reason="too strict"))
        await other.seen.wait_for("fleet_canary_ended", number)
        assert not other.refuses(INSIDE)
        assert not one.refuses(INSIDE)
        assert end_of(ask) == ("withdrawn", "you")
        await level(pair, ask)
    await one.enforcement.change_rule(change("staff", rule("staff", OTHER)))  # the next change is not held up
    assert other.refuses(OTHER)
    with pytest.raises(ApiError, match="waits to be confirmed"):
        await one.enforcement.editor.confirm("you")


async def test_it_ends_by_itself_without_the_node_that_was_asked_and_without_the_database(pair, ask):
    one, other = pair
    await one.enforcement.editor.apply(WANTED)
    await one.node.stop()
    await other.node.changes.stop()
    await other.node._rules.stop()
    pending = other.enforcement._state.pending
    assert pending.deadline > other.enforcement._state.clock.monotonic() + 60
    ask("ALTER TABLE fleet.canaries RENAME TO away")  # the database answers, and knows of nothing
    other.enforcement._state.pending = replace(pending, deadline=0.0)
    await other.enforcement.editor._unwatch()
    other.enforcement.editor._watch()
    await other.seen.wait_for("fleet_canary_ended")
    assert not other.refuses(INSIDE)
    ask("ALTER TABLE fleet.away RENAME TO canaries")


async def test_its_end_is_told_to_all_by_whichever_node_is_left(pair, ask):
    one, other = pair
    await one.enforcement.editor.apply(replace(WANTED, confirm_within=1))
    await other.seen.wait_for("fleet_canary_ended")
    assert not other.refuses(INSIDE)
    await seen(one, ask, "SELECT 1 FROM fleet.canaries WHERE state = 'withdrawn'")
    await level(pair, ask)
    assert one.enforcement.status().confirm_by is None
    with pytest.raises(ApiError, match="waits to be confirmed"):
        await one.enforcement.editor.confirm("you")


async def test_a_node_that_starts_meanwhile_serves_with_the_policy_before_it(pair, run_node, folders, ask):
    one, other = pair
    await one.enforcement.editor.apply(WANTED)
    third = await run_node("n3", rules=folders[0])
    assert not third.refuses(INSIDE)
    await votes(third, ask)
    await level([*pair, third], ask)
    assert not third.refuses(INSIDE)
    with pytest.raises(ApiError, match="A canary by me runs on n2"):
        await third.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    await third.enforcement.editor.confirm("you")
    assert all(running.refuses(INSIDE) for running in (one, other, third))


async def test_the_node_that_tries_it_comes_back_to_it_after_a_restart(pair, run_node, folders, ask):
    one, other = pair
    await one.enforcement.editor.apply(WANTED)
    await other.node.stop()
    await other.enforcement.stop()
    assert [node.in_force for node in (await latest_canary(one.store, 10.0)).nodes] == [False]
    again = await run_node("n2", rules=folders[1])
    await again.seen.wait_for("fleet_canary_started")
    assert again.refuses(INSIDE)
    assert not one.refuses(INSIDE)
    await votes(again, ask)
    await again.enforcement.editor.confirm("you")
    assert one.refuses(INSIDE)


async def test_rule_files_are_tried_and_the_same_are_put_in_force(pair, folders, ask):
    one, other = pair
    for folder in folders:
        write(folder, "more.json", rule("guests"))
    await one.enforcement.editor.apply(replace(WANTED, rules=None))
    assert other.refuses(INSIDE)
    assert not one.refuses(INSIDE)
    for folder in folders:
        write(folder, "more.json", rule("guests", OTHER))  # not what was tried
    assert (await one.enforcement.reload(automatic=True)).valid
    assert (await other.enforcement.refresh_lists("lists")).valid
    assert other.refuses(INSIDE)
    await one.enforcement.editor.confirm("you")
    assert one.enforcement._state.pending is None
    for running in pair:
        assert str(folders[pair.index(running)] / "more.json") in running.enforcement.status().files
    await level(pair, ask)
    await asyncio.gather(*one.enforcement._reloading)  # what changed meanwhile is loaded once it is confirmed
    assert one.refuses(OTHER)
    assert other.refuses(INSIDE)
    assert not other.refuses(OTHER)


async def test_new_lists_keep_what_is_tried_and_what_a_withdrawal_returns_to(pair, ask):
    one, other = pair
    await one.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    await one.enforcement.editor.apply(WANTED)
    noted = ask("SELECT max(number) FROM policy_revisions")
    assert not other.refuses(OTHER), "the document replaces all rules"
    assert (await other.enforcement.refresh_lists("lists")).valid
    assert other.refuses(INSIDE)
    assert not other.refuses(OTHER)
    assert ask("SELECT max(number) FROM policy_revisions") == noted
    await level(pair, ask)
    await other.enforcement.editor.roll_back(Application("you"))
    assert not other.refuses(INSIDE)
    assert other.refuses(OTHER)


async def test_a_node_that_cannot_put_it_in_force_withdraws_it(pair, ask, monkeypatch):
    one, other = pair

    async def refuse(new):
        raise PlanError("no room")

    monkeypatch.setattr(other.enforcement._state, "put_in_force", refuse)
    with pytest.raises(ApiError, match="no room"):
        await one.enforcement.editor.apply(WANTED)
    assert end_of(ask) == ("withdrawn", "system")
    assert one.enforcement.status().confirm_by is None
    assert not other.refuses(INSIDE)


async def test_one_that_a_node_cannot_compile_is_begun_nowhere(pair, folders, ask):
    one, other = pair
    write(folders[0], "more.json", rule("guests", OTHER))  # an id that only this node has in a file
    assert (await one.enforcement.reload(automatic=True)).valid
    with pytest.raises(Exception, match="guests"):
        await other.enforcement.editor.apply(WANTED)
    assert ask("SELECT count(*) FROM fleet.canaries") == [(0,)]
    assert not other.refuses(INSIDE)


async def test_a_policy_of_a_node_that_knows_no_canaries_ends_it(pair, ask, monkeypatch):
    one, other = pair
    await one.enforcement.editor.apply(WANTED)
    monkeypatch.setattr(one.enforcement.editor, "_refuse_pending", lambda: None)
    await one.enforcement.change_rule(change("staff", rule("staff", OTHER)))
    assert other.refuses(OTHER)
    assert not other.refuses(INSIDE)
    await seen(other, ask, "SELECT 1 FROM fleet.canaries WHERE state = 'withdrawn' AND why LIKE 'another policy%'")


async def test_what_is_asked_for_has_to_make_sense(pair, ask):
    one, _ = pair
    for more, match in (({"canary": ("n2", "n9")}, "'n9' is no node"), ({"confirm_within": None}, "a canary needs it")):
        with pytest.raises(ApiError, match=match):
            await one.enforcement.editor.apply(replace(WANTED, **more))
    dry = await one.enforcement.editor.apply(replace(WANTED, dry_run=True))
    assert dry.canary == ()
    assert ask("SELECT count(*) FROM fleet.canaries") == [(0,)]
    await one.enforcement.editor.apply(replace(WANTED, canary=("n1", "n2")))
    told = await latest_proposal(one.store)
    assert told.state == "canary"
    await one.enforcement.editor.roll_back(Application("you"))
    one.enforcement.share(Alone())
    with pytest.raises(ApiError, match="no node of a fleet"):
        await one.enforcement.editor.apply(WANTED)
