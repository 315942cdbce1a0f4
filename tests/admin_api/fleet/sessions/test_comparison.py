# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a node without a session, and sessions without a row, as a restored database leaves them behind."""

from __future__ import annotations

import asyncio
import secrets

import psycopg
import pytest
import pytest_asyncio

from admin_api.fleet.sessions import comparison
from admin_api.fleet.sessions.comparison import LOOKS, PART, PART_SIZE, ROWS, Comparison
from admin_api.store import Store
from tests.admin_api.fleet.crowd import SOURCE, make_entry, nodes_of
from vpn_frontend.sessions.fleet.port import FleetSilentError

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
COUNTED = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped")
RECORD = (
    'INSERT INTO sessions (id, "user", groups, address, port, started_at, seen_at, transport, user_agent, hostname,'
    f" tls_version, cipher, node, {', '.join(COUNTED)})"
    " VALUES (:id, 'u', '[]', '198.51.100.1', 1, '2026-01-01', '2026-01-01', 'tls', '', '', '', '', :node,"
    " 0, 0, 0, 0, 0, 0)"
)
ENDED = "SELECT id, end_reason, ended_at = seen_at FROM sessions WHERE ended_at IS NOT NULL"
LOST = "SELECT encode(id, 'hex') FROM fleet.sessions WHERE lost_at IS NOT NULL"


@pytest_asyncio.fixture
async def node(make_node, fleet_url):
    async with nodes_of(make_node, fleet_url, 1) as (made,):
        yield made


@pytest.fixture
def seen(node):
    return node.membership.seen


class Here:
    """Sessions that the test says the node carries, by id, with their generations."""

    def __init__(self, carried):
        self._carried = {name.removeprefix("s"): count for name, count in carried.items()}

    def carried(self, after="", upto=None):
        held = self._carried.items()
        return {one: count for one, count in held if count and after < one and (upto is None or one <= upto)}

    def has(self, session_id):
        return session_id in self._carried


@pytest_asyncio.fixture
async def compare(node, seen, fleet_url):
    """Looks once, and has the database told of what is lost."""
    store = await Store.open(fleet_url, serving=True, node=node.membership.settings.name)
    admission = node.admission
    looks = Comparison(node.calls, node.membership, store, seen, admission.lose, lambda: admission.unsettled)

    async def compare(**carried):
        await looks.look(Here(carried))
        await node.errands.until_empty()

    yield compare
    await store.close()


async def admitted(node, count):
    entries = [make_entry("u", limit=0) for _ in range(count)]
    for entry in entries:
        await node.admit(entry)
    return [f"s{entry.session}" for entry in entries]


async def test_what_agrees_is_left_alone(node, compare, ask, seen):
    one, other = await admitted(node, 2)
    for _ in range(3):
        await compare(**{one: 1, other: 1})
    assert ask(LOST) == []
    assert seen.of("fleet_sessions_differed") == []
    assert node.membership.is_member


async def test_a_row_without_a_session_is_lost_at_the_second_look(node, compare, ask, seen):
    kept, gone = await admitted(node, 2)
    await compare(**{kept: 1})
    assert ask(LOST) == []
    await compare(**{kept: 1})
    assert ask(LOST) == [(gone[1:],)]
    assert seen.of("fleet_sessions_differed") == [{"node": node.membership.settings.name, "lost": 1, "asserted": 0}]
    await compare(**{kept: 1})
    assert len(seen.of("fleet_sessions_differed")) == 1


async def test_a_row_of_another_generation_than_the_session_is_none_of_it(node, compare, ask):
    (one,) = await admitted(node, 1)
    ask("UPDATE fleet.sessions SET generation = 2")
    await compare(**{one: 1})
    await compare(**{one: 1})
    assert ask(LOST) == [(one[1:],)]


async def test_what_differs_once_was_on_its_way(node, compare, ask):
    kept, first = await admitted(node, 2)
    await compare(**{kept: 1})
    await compare(**{kept: 1, first: 1})
    await admitted(node, 1)
    await compare(**{kept: 1, first: 1})
    assert ask(LOST) == []


async def test_a_session_without_a_row_is_asserted_again(node, compare, ask, seen):
    (one,) = await admitted(node, 1)
    ask("DELETE FROM fleet.sessions")
    await compare(**{one: 1})
    assert node.membership.is_member
    await compare(**{one: 1})
    assert seen.of("fleet_sessions_differed") == [{"node": node.membership.settings.name, "lost": 0, "asserted": 1}]
    await seen.wait_for("fleet_returned")


async def test_rows_of_other_nodes_and_those_that_hold_no_place_of_this_one_are_not_compared(node, compare, ask):
    columns = ("node = node + 1", "ghost = true", "void = true")
    for one, change in zip(await admitted(node, 3), columns, strict=True):
        ask(f"UPDATE fleet.sessions SET {change} WHERE id = decode(:id, 'hex')", id=one[1:])
    await compare()
    await compare()
    assert ask(LOST) == []


async def test_a_node_that_may_not_act_compares_nothing(node, compare, ask):
    await admitted(node, 1)
    node.membership.lease.end()
    await compare()
    await compare()
    assert ask(LOST) == []


async def test_a_record_whose_end_is_lost_is_ended_once_the_database_is_in_doubt(node, compare, ask):
    carried, away, only_here = await admitted(node, 3)
    ended = [f"s{secrets.token_hex(16)}" for _ in range(2)]
    for name, of in [*((one, "n0") for one in (carried, away, only_here, ended[0])), (ended[1], "another")]:
        ask(RECORD, id=name[1:], node=of)
    ask("DELETE FROM fleet.sessions WHERE id = decode(:id, 'hex')", id=only_here[1:])
    held = {carried: 1, away: 1, only_here: 0}
    for _ in range(LOOKS):
        await compare(**held)
    assert ask(ENDED) == []
    node.membership.doubts += 1
    await compare(**held)
    assert ask(ENDED) == []
    await compare(**held)
    assert ask(ENDED) == [(ended[0][1:], "connection_lost", True)]


class TestParts:
    """Nodes with more sessions than a look reads."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch):
        monkeypatch.setattr(comparison, "PART_SIZE", 2)

    @pytest_asyncio.fixture
    async def held(self, node):
        """Five sessions in the order of their ids, with their generations."""
        return dict.fromkeys(sorted(await admitted(node, 5)), 1)

    async def test_the_parts_come_in_turn_and_each_difference_is_seen_twice(self, compare, held, ask):
        """Parts of two, two and one."""
        names = [*held]
        left = {name: 1 for name in names if name not in (names[0], names[4])}
        await compare(**held)  # the first part
        for _ in range(2):  # the second, and the third, which differs
            await compare(**left)
        assert ask(LOST) == []
        await compare(**left)
        assert ask(LOST) == [(names[4][1:],)]
        for _ in range(2):  # the first, twice
            await compare(**left)
        assert {row[0] for row in ask(LOST)} == {names[0][1:], names[4][1:]}

    async def test_a_part_that_differs_at_each_look_holds_up_no_other(self, compare, held, ask):
        """At each look another session of the first part is on its way; a row of the last part has no session."""
        *left, surplus = held
        for look in range(5):  # the first part twice, the second once, as it does not differ, the third twice
            await compare(**dict.fromkeys(left, 1), **{f"s{look:032x}": 1})
        assert ask(LOST) == [(surplus[1:],)]

    async def test_a_session_without_a_row_is_seen_wherever_its_id_is(self, compare, held, seen, node):
        for added in ("s" + "0" * 32, "s" + "f" * 32):
            before = len(seen.of("fleet_sessions_differed"))
            for _ in range(4):  # the three parts, and the one that differs again
                await compare(**held, **{added: 1})
            told = seen.of("fleet_sessions_differed")[before:]
            assert told == [{"node": node.membership.settings.name, "lost": 0, "asserted": 1}]
            await seen.wait_for("fleet_returned", before + 1)
            for _ in range(LOOKS + 1):
                await compare(**held)

    async def test_of_all_that_are_looked_at_only_parts_that_differ_are_read_again(
        self, node, compare, held, ask, monkeypatch
    ):
        """Parts of two, two and one; in the first another session is on its way at each look, as on a busy node."""
        *left, surplus = held
        left = dict.fromkeys(left, 1)
        node.membership.doubts += 1
        for look in range(LOOKS - 1):
            await compare(**left, **{surplus: 1}, **{f"s{look:032x}": 1})
        asked, call = [], node.calls.call

        async def note(statement, *values):
            asked.append(statement)
            return await call(statement, *values)

        monkeypatch.setattr(node.calls, "call", note)
        counts = []
        for look in range(LOOKS - 1, LOOKS + 3):
            asked.clear()
            await compare(**left, **{f"s{look:032x}": 1})
            counts.append(asked.count(PART))
        assert counts == [3, 2, 1, 1], "all, the first and the last, and the parts in turn: the first, which differs"
        assert ask(LOST) == [(surplus[1:],)]

    @pytest.mark.parametrize("why", ["a doubt", "a claim without an answer", "a claim that its client left"])
    async def test_where_something_may_be_left_behind_all_are_looked_at_at_once(
        self, node, compare, held, ask, why, monkeypatch
    ):
        left = dict.fromkeys([*held][:1], 1)
        await compare(**held)
        if why == "a doubt":
            node.membership.doubts += 1
        else:
            await leave_a_claim(node, why, monkeypatch)
        await compare(**left)
        assert ask(LOST) == []
        await compare(**left)
        assert {row[0] for row in ask(LOST)} == {name[1:] for name in held if name not in left}


async def leave_a_claim(node, why, monkeypatch):
    calls = node.calls
    asked = asyncio.Event()

    async def no_answer(*_):
        asked.set()
        if why == "a claim that its client left":
            await asyncio.Event().wait()
        raise FleetSilentError("no answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(calls, "call", no_answer)
        claim = asyncio.create_task(node.admission.claim("0" * 32, bytes(32), SOURCE))
        await asked.wait()
        if why == "a claim that its client left":
            claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)


MANY, NODES = 10_000, 2
FILL = f"""
INSERT INTO fleet.sessions (id, user_key, node, epoch, cookie_digest, ipv4, source)
  SELECT decode(md5(i::text), 'hex'), 'u' || i % 500, 1 + i % {NODES}, 1, '', '10.0.0.0'::inet + i, '192.0.2.1'
  FROM generate_series(1, {MANY * NODES}) i"""
READ = (
    "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
    " WHERE schemaname = 'fleet' AND relname = 'sessions'"
)


@pytest.mark.parametrize("statement", [PART, ROWS], ids=["digest", "rows"])
@pytest.mark.parametrize("known", [True, False], ids=["analyzed", "before any ANALYZE"])
async def test_a_look_at_many_sessions_reads_one_part_of_them(fleet_url, statement, known):
    """Rows are counted: of 10 000 sessions of this node and 10 000 of another one, no more than those of a part."""
    with psycopg.connect(fleet_url.replace("+psycopg", ""), autocommit=True) as database:
        database.execute(FILL)
        if known:
            database.execute("ANALYZE fleet.sessions")
        with database.transaction():
            before = database.execute(READ).fetchone()[0]
            found = database.execute(statement, (1, bytes.fromhex("40"), PART_SIZE)).fetchall()
            assert (found[0][0] if statement is PART else len(found)) == PART_SIZE
            assert database.execute(READ).fetchone()[0] - before <= PART_SIZE + 1


async def test_a_whole_look_asks_for_each_part_once(node, compare, ask, monkeypatch):
    ask(FILL)
    ask("UPDATE fleet.sessions SET node = :node WHERE node = 1", node=node.id)
    held = {f"s{row[0]}": 1 for row in ask("SELECT encode(id, 'hex') FROM fleet.sessions WHERE node = :n", n=node.id)}
    asked, call = [], node.calls.call

    async def note(statement, *more):
        asked.append(statement)
        return await call(statement, *more)

    monkeypatch.setattr(node.calls, "call", note)
    await compare(**held)
    assert asked.count(PART) == 1
    node.membership.doubts += 1
    await compare(**held)
    assert asked.count(PART) == 1 + 1 + MANY // PART_SIZE
    assert ROWS not in asked
