# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of sessions whose node is silent: another node ends them, and what their own node writes later counts."""

from __future__ import annotations

import pytest

from admin_api.fleet.sessions.journal import end_unheard_records, take_record
from admin_api.store import Store
from tests.admin_api.fleet.crowd import make_entry, nodes_of
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, Stage

pytestmark = pytest.mark.asyncio


async def test_a_dead_nodes_sessions_end_after_their_cookies_and_its_own_word_counts_later(
    make_node, fleet_url, ask, view
):
    store = await Store.open(fleet_url, serving=True, node="n0")
    rows = "SELECT end_reason, ended_at IS NOT NULL AND ended_at = seen_at, rx_bytes FROM sessions"
    try:
        async with nodes_of(make_node, fleet_url, 2) as (dead, other):
            entry = make_entry("alice")
            await dead.admit(entry)

            def entry_of(stage, received, *more):
                return JournalEntry(stage, view(entry.session, counters=Counters(rx_bytes=received)), *more)

            await store.record([entry_of(Stage.OPENED, 0)])
            await store.record([entry_of(Stage.SEEN, 5)])
            await end_unheard_records(other.calls, 10.0, 100)
            ask("UPDATE fleet.sessions SET lost_at = clock_timestamp() - interval '301 s'")
            await end_unheard_records(other.calls, 10.0, 100)
            assert ask(rows) == [(None, False, 5)], "its node is heard"

            await dead.membership.stop()
            ask("UPDATE fleet.nodes SET state = 'active'")
            silent = "UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '20 s' WHERE node = :node"
            ask(silent, node=dead.id)
            ask("UPDATE fleet.uptime SET since = clock_timestamp() - interval '1 h'")
            ask("UPDATE fleet.sessions SET lost_at = clock_timestamp() - interval '200 s'")
            await end_unheard_records(other.calls, 10.0, 100)
            assert ask(rows) == [(None, False, 5)], "its cookie opens it"
            ask("UPDATE fleet.sessions SET lost_at = clock_timestamp() - interval '301 s'")
            await end_unheard_records(other.calls, 10.0, 100)
            await end_unheard_records(other.calls, 10.0, 100)
            assert ask(rows) == [("node_lost", True, 5)]

            await store.record([entry_of(Stage.SEEN, 7)])
            assert ask(rows) == [(None, False, 7)], "it was cut off, and has carried it all the time"
            await end_unheard_records(other.calls, 10.0, 100)
            await store.record([entry_of(Stage.CLOSED, 9, CloseReason.LOGOUT)])
            await store.record([entry_of(Stage.SEEN, 7)])
            assert ask(rows) == [("logout", True, 9)]
    finally:
        await store.close()


async def test_a_node_that_starts_leaves_the_fleet_what_other_nodes_may_open(make_node, fleet_url, ask, view):
    own = await Store.open(fleet_url, serving=True, node="n0")
    other = await Store.open(fleet_url, serving=True, node="n1")
    try:
        async with nodes_of(make_node, fleet_url, 1) as (node,):
            left, ghost, taken_back, unknown = (make_entry(f"user{number}") for number in range(4))
            for entry in (left, ghost, taken_back):
                await node.admit(entry)
            opened = [entry.session for entry in (left, ghost, taken_back, unknown)]
            await own.record([JournalEntry(Stage.OPENED, view(session), resumption="{}") for session in opened])
            ask("UPDATE fleet.sessions SET lost_at = clock_timestamp()")
            ask("UPDATE fleet.sessions SET ghost = true WHERE user_key = 'user1'")
            ask("UPDATE fleet.sessions SET void = true WHERE user_key = 'user2'")
            assert await own.close_orphans() == 3
            record, _ = await take_record(other, left.session)
            assert record.id == left.session
            for entry in (ghost, taken_back, unknown):
                assert (await take_record(other, entry.session))[0] is None
            ends = ask("SELECT id, node, end_reason FROM sessions ORDER BY serial")
            assert ends == [(left.session, "n1", None), *((session, "n0", "crashed") for session in opened[1:])]
    finally:
        await own.close()
        await other.close()
