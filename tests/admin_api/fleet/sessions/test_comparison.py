# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a node without a session, and sessions without a row, as a restored database leaves them behind."""

from __future__ import annotations

import secrets

import pytest
import pytest_asyncio

from admin_api.fleet.sessions.comparison import LOOKS, Comparison
from admin_api.store import Store
from tests.admin_api.fleet.crowd import make_entry, nodes_of

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

    def carried(self):
        return {session: count for session, count in self._carried.items() if count}

    def has(self, session_id):
        return session_id in self._carried


@pytest_asyncio.fixture
async def compare(node, seen, fleet_url):
    """Looks once, and has the database told of what is lost."""
    store = await Store.open(fleet_url, serving=True, node=node.membership.settings.name)
    comparison = Comparison(node.calls, node.membership, store, seen, node.admission.lose)

    async def compare(**carried):
        await comparison.look(Here(carried))
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
