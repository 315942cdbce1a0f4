# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node changes is in force on the others: blocks, users, groups and kills, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from admin_api.clock import SYSTEM_CLOCK
from admin_api.fleet.membership import beats
from admin_api.http.problems import ApiError
from admin_api.store import Store, UserAttributes
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio
NETWORK, INSIDE = "198.51.100.0/24", "198.51.100.7"


@pytest_asyncio.fixture
async def pair(run_node):
    return await run_node("n1"), await run_node("n2")


@asynccontextmanager
async def patience():
    async with asyncio.timeout(TIMEOUT):
        yield


async def block(running, cidr, reason, ttl, by):
    """Blocks a network and waits until the database has it, however long that takes."""
    report = await running.enforcement.add_block(cidr, reason, ttl, by)
    assert await running.enforcement.blocks.settle(report.id, TIMEOUT)
    return report


async def follows(running, of):
    """Wait until ``running`` has applied all that ``of`` has published so far."""
    async with patience():
        await running.node.changes.wait_for(of.store.published)


class TestBlocks:
    async def test_a_block_on_one_node_is_in_force_on_another(self, pair, view):
        one, other = pair
        other.sessions.add(view("of a guest", address=INSIDE))
        report = await block(one, NETWORK, "brute force", 3600, "me")
        await follows(other, one)
        assert other.refuses(INSIDE)
        taken = other.has(NETWORK)
        assert (taken.id, taken.reason, taken.created_by) == (report.id, "brute force", "me")
        assert abs((taken.expires_at - report.expires_at).total_seconds()) < 5
        assert other.sessions.list() == []
        assert other.seen.of("fleet_blocks_taken") == [{"added": 1, "removed": 0, "left_out": 0, "sessions_cut": 1}]
        removed = await one.enforcement.remove_block(NETWORK, "me")
        assert await one.enforcement.blocks.settle(removed.id, TIMEOUT)
        await follows(other, one)
        assert not other.refuses(INSIDE)

    async def test_a_lost_notification_costs_one_beat(self, run_node, monkeypatch):
        monkeypatch.setattr(beats, "CHANNEL", "")
        one, other = await run_node("n1"), await run_node("n2")
        bells = []
        other.node.membership.on_bell(bells.append)
        await block(one, NETWORK, "", None, "me")
        await follows(other, one)
        assert other.refuses(INSIDE)
        assert bells == []

    async def test_what_was_blocked_before_a_node_started_is_in_force_there(self, run_node):
        one = await run_node("n1")
        await block(one, NETWORK, "", 3600, "me")
        other = await run_node("n2")
        assert other.refuses(INSIDE)
        assert one.has(NETWORK).id == other.has(NETWORK).id

    async def test_of_two_blocks_of_a_network_at_once_the_longer_one_stays(self, pair, ask):
        one, other = pair
        await asyncio.gather(
            block(one, NETWORK, "short", 60, "one"),
            block(other, NETWORK, "long", 3600, "other"),
        )
        newest = ask("SELECT revision FROM fleet.head")[0][0]
        async with patience():
            for running in pair:
                await running.node.changes.wait_for(newest)
        ((stored, reason),) = ask("SELECT id, reason FROM blocks")
        assert reason == "long"
        assert [running.has(NETWORK).id for running in pair] == [stored, stored]
        assert all(running.refuses(INSIDE) for running in pair)

    async def test_a_wrong_wall_clock_shortens_no_block(self, run_node, ask):
        ahead = replace(SYSTEM_CLOCK, wall=lambda: SYSTEM_CLOCK.wall() + timedelta(hours=1))
        one, other = await run_node("n1", clock=ahead), await run_node("n2")
        await block(one, NETWORK, "", 600, "me")
        await follows(other, one)
        left = other.has(NETWORK).expires_at - SYSTEM_CLOCK.wall()
        assert timedelta(seconds=500) < left < timedelta(seconds=601)
        stored = ask("SELECT expires_at - (clock_timestamp() AT TIME ZONE 'UTC') FROM blocks")[0][0]
        assert timedelta(seconds=500) < stored < timedelta(seconds=601)
        third = await run_node("n3", clock=ahead)
        assert third.refuses(INSIDE)
        assert third.has(NETWORK).expires_at - ahead.wall() < timedelta(seconds=601)

    async def test_many_blocks_arrive_in_batches(self, pair):
        one, other = pair
        networks = [(f"10.{number // 256}.{number % 256}.0/24", "feed", None) for number in range(2500)]
        from ipaddress import ip_network  # noqa: PLC0415

        done = one.enforcement.blocks.add_many(((ip_network(cidr), why, end) for cidr, why, end in networks), "me")
        async with patience():
            assert await one.enforcement.blocks.settle(done.last_id, TIMEOUT)
        await follows(other, one)
        assert len(other.enforcement.blocks) == 2500
        assert len(other.seen.of("fleet_blocks_taken")) <= 4

    async def test_a_node_cut_off_takes_blocks_and_lifts_none(self, pair):
        one, _ = pair
        await block(one, NETWORK, "", None, "me")
        one.node.membership.lease.end()
        with pytest.raises(ApiError, match="cut off from its fleet"):
            await one.enforcement.remove_block(NETWORK, "me")
        assert one.refuses(INSIDE)
        await block(one, "203.0.113.77/32", "", None, "me")
        assert one.has("203.0.113.77/32")


class TestRestoredStore:
    async def test_a_database_of_yesterday_lifts_no_block(self, pair, ask):
        one, other = pair
        await block(one, NETWORK, "", None, "me")
        await block(one, "192.0.2.1", "", 3600, "me")
        await follows(other, one)
        await follows(one, one)
        ask("DELETE FROM blocks")
        ask("DELETE FROM fleet.log")
        ask("UPDATE fleet.head SET revision = 0, tag = gen_random_uuid()")
        restored = await other.seen.wait_for("fleet_store_restored")
        assert restored["before"] >= 2
        await one.seen.wait_for("fleet_store_restored")
        assert one.refuses(INSIDE)
        assert other.refuses(INSIDE)
        for running in pair:
            for cidr in (NETWORK, "192.0.2.1/32"):
                assert await running.enforcement.blocks.settle(running.has(cidr).id, TIMEOUT)
        assert {cidr for (cidr,) in ask("SELECT cidr FROM blocks")} == {NETWORK, "192.0.2.1/32"}

    async def test_another_history_of_the_same_length_is_seen(self, pair, ask):
        one, other = pair
        await block(one, NETWORK, "", None, "me")
        await follows(other, one)
        await follows(one, one)
        ask("UPDATE fleet.head SET tag = gen_random_uuid()")
        ask("UPDATE fleet.log SET tag = (SELECT tag FROM fleet.head)")
        await other.seen.wait_for("fleet_store_restored")
        assert other.refuses(INSIDE)
        await other.seen.wait_for("fleet_returned")  # it has told what it carries

    async def test_a_node_behind_the_log_compares_all(self, pair, ask):
        """Not restored: what others lifted meanwhile is lifted here too."""
        one, other = pair
        await block(one, NETWORK, "", None, "me")
        await follows(other, one)
        ask("DELETE FROM blocks")
        ask("UPDATE fleet.head SET revision = revision + 5, floor = revision + 4, tag = gen_random_uuid()")
        async with patience():
            while other.refuses(INSIDE):
                await other.node.changes.wait_for(6)
                await asyncio.sleep(0)
        assert other.seen.of("fleet_store_restored") == []


class TestAccounts:
    async def test_a_disabled_user_loses_the_sessions_on_all_nodes(self, pair, view):
        one, other = pair
        async with one.store.write() as unit:
            await unit.users.add("alice", "x", UserAttributes())
            await unit.users.add("bob", "x", UserAttributes())
        assert (await other.store.find("alice")).enabled
        other.sessions.add(view("a", user="alice"))
        other.sessions.add(view("b", user="bob"))
        async with one.store.write() as unit:
            await unit.users.replace(await unit.users.get("alice"), UserAttributes(enabled=False))
        await follows(other, one)
        assert [session.user for session in other.sessions.list()] == ["bob"]
        assert not (await other.store.find("alice")).enabled, "the cache of users is told too"

    async def test_removed_and_with_a_new_password_too(self, pair, view):
        one, other = pair
        async with one.store.write() as unit:
            await unit.users.add("alice", "x", UserAttributes())
            await unit.users.add("bob", "x", UserAttributes())
        for name in ("alice", "bob", "carol"):
            other.sessions.add(view(name, user=name))
        async with one.store.write() as unit:
            await unit.users.replace(await unit.users.get("alice"), UserAttributes(), "new")
            await unit.users.remove(await unit.users.get("bob"))
        await follows(other, one)
        assert [session.user for session in other.sessions.list()] == ["carol"]

    async def test_a_killed_user_is_killed_everywhere(self, pair, view):
        one, other = pair
        other.sessions.add(view("a", user="alice"))
        async with one.store.write() as unit:
            unit.changes.note("kill_user", "alice", text="bye")
        await follows(other, one)
        assert other.sessions.list() == []

    async def test_what_another_process_of_this_name_has_changed_is_applied(self, run_node, fleet_url, view):
        one = await run_node("n1")
        one.sessions.add(view("a", user="alice"))
        fenced = await Store.open(fleet_url, node="n1")
        async with fenced.write() as unit:
            unit.changes.note("kill_user", "alice", text="bye")
        await fenced.close()
        async with patience():
            await one.node.changes.wait_for(fenced.published)
        assert one.sessions.list() == []

    async def test_groups_settings_and_webhooks_are_read_again(self, pair):
        one, other = pair
        async with one.store.write() as unit:
            await unit.groups.add(unit.groups.make("staff", label="Staff", note="", settings={}))
            await unit.settings.change({"log.level": "debug"}, "me")
        await follows(other, one)
        assert "staff" in other.sessions.groups
        assert other.read_again == ["settings"]
        assert one.read_again == [], "its own changes are in force already"

    async def test_a_change_that_failed_is_not_published(self, pair, ask):
        one, _ = pair

        async def add_and_fail():
            async with one.store.write() as unit:
                await unit.users.add("alice", "x", UserAttributes())
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await add_and_fail()
        assert ask("SELECT count(*) FROM fleet.log") == [(0,)]

    async def test_a_kind_of_a_newer_version_stops_nothing(self, pair):
        one, other = pair
        async with one.store.write() as unit:
            unit.changes.note("of the future", "x")
            unit.changes.note("kill_user", "alice", text="")
        await follows(other, one)
        assert other.node.changes.unknown == 1
        assert other.seen.of("fleet_change_unknown") == [{"change": "of the future", "count": 1}]


async def test_rules_made_over_the_api_are_in_force_on_all_nodes(pair):
    one, other = pair
    rule = {"type": "blacklist", "remote_addr": NETWORK}
    async with one.store.write() as unit:
        await unit.rules.add("guests", {"id": "guests", **rule}, created_by="me")
    await other.seen.wait_for("policy_loaded", 2)  # the first one is of the start
    assert other.refuses(INSIDE)
    assert len(one.seen.of("policy_loaded")) == 1, "its own changes are in force already"
    async with one.store.write() as unit:
        await unit.rules.replace(await unit.rules.get("guests"), {"id": "guests", "type": "no such type"})
    refused = await other.seen.wait_for("policy_refused")
    assert refused["problems"]
    assert other.refuses(INSIDE), "what does not compile changes nothing"


async def test_a_server_without_a_fleet_publishes_nothing(postgresql_url):
    store = await Store.open(postgresql_url, serving=True)
    async with store.write() as unit:
        await unit.users.add("alice", "x", UserAttributes())
    async with store.connected() as connection:
        assert (await connection.exec_driver_sql("SELECT revision FROM fleet.head")).scalar() == 0
    await store.close()
