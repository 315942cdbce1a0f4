# SPDX-License-Identifier: GPL-3.0-or-later
"""Joining, beats and the lease, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import re

import pytest

from admin_api.fleet.jitter import Jitter
from admin_api.fleet.link import LinkError
from admin_api.fleet.membership import beats
from admin_api.fleet.membership.beats import JoinRefusedError
from admin_api.fleet.membership.lease import Identity, lease_clock
from admin_api.fleet.membership.membership import SPREAD, WIDEST, NodeState
from admin_api.store import Store
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio
DEAD_AFTER = "make_interval(secs => 10)"


class TestJoining:
    async def test_every_join_raises_the_epoch(self, make_node, ask):
        node = await make_node("n1")
        assert node.identity.epoch == 1
        assert node.state is NodeState.MEMBER
        await node.stop()
        assert ask("SELECT state FROM fleet.nodes") == [("left",)]
        again = await make_node("n1")
        assert again.identity == Identity(node.identity.node, 2)
        assert ask("SELECT name, epoch, state, version FROM fleet.nodes") == [("n1", 2, "active", "1.0")]

    async def test_a_name_is_taken_while_its_node_is_heard(self, make_node):
        node = await make_node("n1")
        with pytest.raises(JoinRefusedError, match=r"fleet\.name: another server is the node n1"):
            await make_node("n1", instance="another server")
        other = await make_node("n2", instance="another server")
        assert other.identity.epoch == 1
        assert other.identity.node != node.identity.node

    async def test_a_name_is_free_after_a_goodbye_and_after_silence(self, make_node, ask):
        await (await make_node("n1")).stop()
        ask("UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '11 s'")
        assert (await make_node("n1", instance="another server")).identity.epoch == 2

    async def test_a_database_from_before_a_node_joined_gives_its_number_to_no_other(self, make_node, ask):
        """The restored database counts from where it stood; the node that it does not know is heard all the while."""
        one, other = await make_node("n1"), await make_node("n2")
        lost = other.identity
        ask(f"ALTER TABLE fleet.nodes ALTER id RESTART WITH {lost.node}")
        restored_and_joined = (
            "WITH lost AS (DELETE FROM fleet.nodes WHERE name = 'n2') SELECT id FROM fleet.join_v2("
            "'n3', 'x', '1', '', (SELECT secret_check FROM fleet.identity), interval '10 s')"
        )
        ((third,),) = ask(restored_and_joined)
        await other.seen.wait_for("fleet_joined", 2)
        assert len({one.identity.node, third, lost.node}) == 3
        assert other.identity.node not in {one.identity.node, third}

    async def test_no_node_joins_at_a_database_that_can_only_be_read(self, make_node, ask):
        """A standby behind the one host of the URL: what is read there may be older than what the others have heard."""
        (name,) = ask("SELECT current_database()")[0]
        ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(LinkError, match="read-only transaction"):
            await make_node("n1")

    async def test_another_server_with_the_same_number_and_epoch_fences_this_one(self, make_node, ask):
        node = await make_node("n1")
        ask("UPDATE fleet.nodes SET instance = 'another server'")
        await node.seen.wait_for("fleet_cut_off")
        assert not node.lease.holds(lease_clock())

    async def test_a_node_with_another_secret_is_refused(self, make_node, ask):
        await make_node("n1")
        with pytest.raises(JoinRefusedError, match=r"fleet\.secret_file: the other nodes have another secret"):
            await make_node("n2", secret=bytes(32))
        assert ask("SELECT name FROM fleet.nodes") == [("n1",)]


class TestBeats:
    async def test_a_beat_reports_what_the_node_has_done(self, make_node, ask):
        node = await make_node("n1")
        heard = asyncio.Event()
        node.report(applied=7, prepared=3, sessions=2)
        node.on_answer(lambda answer: heard.set() if ask("SELECT applied FROM fleet.beats")[0][0] == 7 else None)
        async with asyncio.timeout(TIMEOUT):
            await heard.wait()
        assert ask("SELECT applied, prepared, sessions FROM fleet.beats") == [(7, 3, 2)]
        assert node.answer.state == "active"

    async def test_the_answer_tells_revision_and_orders(self, make_node, ask):
        node = await make_node("n1")
        ask("SELECT fleet.publish_v1(1, '{block,block}', '{a,b}', ARRAY['{}', '{}']::jsonb[])")
        ask("INSERT INTO fleet.orders (node, kind, session, generation) SELECT id, 'end', '\\x01', 1 FROM fleet.nodes")
        await answered(node, lambda answer: answer.open_orders)
        assert node.answer.revision == 2
        assert str(ask("SELECT tag FROM fleet.log WHERE revision = 2")[0][0]) == node.answer.tag

    async def test_an_operators_wish_to_drain_arrives(self, make_node, ask):
        node = await make_node("n1")
        assert not node.draining
        ask("UPDATE fleet.nodes SET state = 'draining'")
        await answered(node, lambda answer: answer.state == "draining")
        assert node.draining

    async def test_a_fenced_node_joins_again_and_asserts_what_it_carries(self, make_node, ask):
        node = await make_node("n1")
        asserted = []

        async def assert_again():
            asserted.append((node.identity, node.lease.holds(lease_clock())))

        node.on_return(assert_again)
        ask("UPDATE fleet.nodes SET epoch = 10")  # as another server under this name does
        await node.seen.wait_for("fleet_returned")
        assert asserted == [(Identity(ask("SELECT id FROM fleet.nodes")[0][0], 11), False)]
        assert node.lease.holds(lease_clock())

    async def test_another_start_of_the_database_is_told_what_the_node_carries(self, make_node, monkeypatch):
        """As after a failover within the time of the lease, to a standby that had not got all commits."""
        node = await make_node("n1")
        asserted = asyncio.Event()

        async def assert_again():
            asserted.set()

        node.on_return(assert_again)
        await answered(node, lambda answer: True)
        assert not asserted.is_set()
        monkeypatch.setattr(beats, "BEAT", beats.BEAT.replace("pg_postmaster_start_time()", "'later'"))
        node._beats.hurry()
        async with asyncio.timeout(TIMEOUT):
            await asserted.wait()
        await node.seen.wait_for("fleet_returned")
        assert node.is_member

    async def test_a_failed_return_is_tried_again(self, make_node, ask):
        node = await make_node("n1")
        failures = iter([OSError("away")])

        async def assert_again():
            for failure in failures:
                raise failure

        node.on_return(assert_again)
        ask("UPDATE fleet.nodes SET epoch = 10")
        assert (await node.seen.wait_for("fleet_return_failed"))["error"] == "OSError('away')"
        assert (await node.seen.wait_for("fleet_returned"))["epoch"] == 11

    async def test_a_hanging_event_loop_stops_the_beats(self, make_node, ask):
        node = await make_node("n1")
        node._ticker.cancel()
        node._beats.turned_at = lease_clock() - 6
        ask("UPDATE fleet.beats SET seen_at = '2020-01-01'")
        node._beats.hurry()
        other = await make_node("n2")
        for _ in range(3):
            await answered(other, lambda answer: True)
            other._beats.hurry()
        assert ask("SELECT seen_at < '2021-01-01' FROM fleet.beats WHERE node = :node", node=node.identity.node) == [
            (True,)
        ]

    async def test_a_server_that_stood_still_says_so_and_names_no_other_server(self, make_node, monkeypatch):
        """As at a start that takes long: nothing has failed, and no beat was sent."""
        node = await make_node("n1")
        monkeypatch.setattr(node._beats, "_failed", ignore)
        monkeypatch.setattr(node.lease, "extend", ignore)
        for _ in range(2):  # what was under way has ended
            await answered(node, lambda answer: True)
        node._ticker.cancel()
        node._beats.turned_at = lease_clock() - 40
        node.lease.end()
        node._ticker = asyncio.create_task(node._tick())
        why = (await node.seen.wait_for("fleet_cut_off"))["reason"]
        assert re.fullmatch(r"this server was busy with other work for [4-9]\d s, and sent no beats", why)
        monkeypatch.undo()
        await node.seen.wait_for("fleet_returned")

    async def test_a_fenced_node_says_that_another_server_has_its_name(self, make_node, ask, monkeypatch):
        node = await make_node("n1")
        monkeypatch.setattr(node._beats, "join", refuse)
        monkeypatch.setattr(node._beats, "_failed", ignore)
        ask("UPDATE fleet.nodes SET epoch = 10")
        why = (await node.seen.wait_for("fleet_cut_off"))["reason"]
        assert why == "another server has joined under this name"


class TestJitter:
    """Pauses and waits of a node are its own: no two that an event has brought into step stay so."""

    async def test_each_beat_has_a_pause_of_its_own(self, make_node):
        asked = Drawn()
        node = await make_node("n1", jitter=asked)
        for _ in range(3):
            await answered(node, lambda answer: True)
        assert asked.pauses[:2] == [beats.INTERVAL] * 2

    async def test_a_return_waits_longer_after_each_failure_and_as_before_once_it_has_worked(
        self, make_node, monkeypatch
    ):
        monkeypatch.setattr(beats, "INTERVAL", 0.05)
        asked = Drawn()
        node = await make_node("n1", jitter=asked)
        failures = iter(range(7))

        async def assert_again():
            for _ in failures:
                raise OSError("away")

        node.on_return(assert_again)
        for _ in range(2):
            returned = len(node.seen.of("fleet_returned"))
            node.assert_again()
            await node.seen.wait_for("fleet_returned", returned + 1)
        assert asked.waits == [SPREAD * 2**count for count in range(6)] + [WIDEST, WIDEST, SPREAD]


class Drawn(Jitter):
    """Notes what it was asked for, and has no node wait."""

    def __init__(self):
        super().__init__(lambda: 0.0)
        self.pauses, self.waits = [], []

    def around(self, seconds):
        self.pauses.append(seconds)
        return super().around(seconds)

    def up_to(self, seconds):
        self.waits.append(seconds)
        return super().up_to(seconds)


def refuse():
    raise JoinRefusedError("n1 is taken")


def ignore(*_):
    pass


class TestWhoIsLost:
    async def test_silence_makes_a_node_lost_only_while_the_store_was_up(self, make_node, ask):
        node = await make_node("n1")
        await answered(node, lambda answer: True)
        ask("INSERT INTO fleet.nodes (id, name, instance, version) OVERRIDING SYSTEM VALUE VALUES (2, 'n2', '', '')")
        ask("INSERT INTO fleet.beats (node, seen_at) VALUES (2, clock_timestamp() - interval '11 s')")
        me = node.identity.node
        lost = f"SELECT fleet.is_lost_v1(2, 1, {DEAD_AFTER}), fleet.is_lost_v1({me}, 1, {DEAD_AFTER})"
        assert ask(lost) == [(False, False)], "the store is up for less than dead_after"
        ask("UPDATE fleet.uptime SET since = clock_timestamp() - interval '1 hour'")
        assert ask(lost) == [(True, False)]
        assert ask(f"SELECT fleet.is_lost_v1({me}, 2, {DEAD_AFTER}), fleet.is_lost_v1(9, 1, {DEAD_AFTER})") == [
            (True, True)
        ]

    async def test_an_outage_of_the_store_makes_no_node_lost(self, make_node, ask):
        """Negative control: without ``since`` the first node that comes back would find all others dead."""
        node = await make_node("n1")
        ask("INSERT INTO fleet.nodes (id, name, instance, version) OVERRIDING SYSTEM VALUE VALUES (2, 'n2', '', '')")
        ask("INSERT INTO fleet.beats (node) VALUES (2)")
        await node.stop()
        ask("UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '60 s'")
        ask("UPDATE fleet.uptime SET last = clock_timestamp() - interval '60 s', since = '2020-01-01'")
        assert ask(f"SELECT fleet.is_lost_v1(2, 1, {DEAD_AFTER})") == [(False,)], "no node has beaten yet"
        await answered(await make_node("n1"), lambda answer: True)
        assert ask(f"SELECT fleet.is_lost_v1(2, 1, {DEAD_AFTER})") == [(False,)]
        assert ask("SELECT clock_timestamp() - seen_at > interval '10 s' FROM fleet.beats WHERE node = 2") == [(True,)]

    async def test_a_node_that_left_is_lost_at_once(self, make_node, ask):
        node = await make_node("n1")
        other = await make_node("n2")
        await node.stop()
        lost = f"SELECT fleet.is_lost_v1(:node, 1, {DEAD_AFTER})"
        assert ask(lost, node=node.identity.node) == [(True,)]
        assert ask(lost, node=other.identity.node) == [(False,)]


async def answered(node, good):
    """Wait for an answer to a beat that ``good`` accepts."""
    found = asyncio.Event()
    node.on_answer(lambda answer: found.set() if good(answer) else None)
    async with asyncio.timeout(TIMEOUT):
        await found.wait()


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_store_that_is_away_ends_the_lease_and_its_return_brings_it_back(make_node, how, tmp_path):
    with running_postgresql() as server:
        await (await Store.open(server.url)).close()
        node = await make_node("n1", url=server.url, dead_after=3.0)
        if how == "killed":
            server.kill()
        else:
            server.suspend()
        assert (await node.seen.wait_for("fleet_cut_off"))["reason"]
        assert not node.lease.holds(lease_clock())
        assert node.state is NodeState.CUT_OFF
        if how == "killed":
            server.start()
        else:
            server.resume()
        returned = await node.seen.wait_for("fleet_returned")
        assert node.lease.holds(lease_clock())
        assert returned["epoch"] == 1, "no other has taken its place: its rows stay its own"
        await node.stop()
