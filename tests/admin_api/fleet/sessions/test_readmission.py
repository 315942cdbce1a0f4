# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that a node carries and the database does not know: admitted many in one call, under the same limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import psycopg
import pytest
import pytest_asyncio

from admin_api.fleet.calls import UnknownAnswerError
from admin_api.fleet.sessions.admission import ADMIT_SEVERAL, VOID, VOID_SEVERAL
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import LIMIT, make_entry, nodes_of
from vpn_frontend.sessions.fleet.port import AdmitStatus, FleetSilentError

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
MANY, USERS = 120, 40
FIRST = ip_address("10.0.0.1")
HELD = "SELECT encode(id, 'hex') FROM fleet.sessions WHERE NOT void"
MOST_OF_A_USER = (
    "SELECT max(count) FROM (SELECT count(*) FROM fleet.sessions WHERE NOT void GROUP BY user_key) of_users"
)


@pytest_asyncio.fixture
async def nodes(patient_calls, make_node, fleet_url):
    async with nodes_of(make_node, fleet_url, 2) as made:
        yield made


@pytest.fixture
def sent(nodes, monkeypatch):
    """The statements that the first node sends, in their order. ``failure``: what the next of some kind ends with."""
    return Sent(nodes[0].calls, monkeypatch)


class Sent:
    def __init__(self, calls, monkeypatch):
        self.statements = []
        self.failures = {}
        self._call = calls.call
        monkeypatch.setattr(calls, "call", self._note)

    async def _note(self, statement, values, *more):
        self.statements.append(statement)
        failure = self.failures.pop(statement, None)
        if isinstance(failure, psycopg.errors.UniqueViolation):
            raise failure  # the database has undone it
        rows = await self._call(statement, values, *more)
        if failure is not None:
            raise failure
        return rows

    def count(self, statement):
        return self.statements.count(statement)


def entries_of(count=MANY, **options):
    return [make_entry(f"user{number % USERS}", **options) for number in range(count)]


async def admit(node, entries):
    return [answer.status for answer in await node.admission.admit_several(entries)]


async def test_many_are_one_call_and_each_user_keeps_the_oldest_up_to_the_limit(nodes, sent, ask):
    entries = entries_of()
    told = await admit(nodes[0], entries)
    assert sent.count(ADMIT_SEVERAL) == 1
    assert told == [AdmitStatus.OK] * (USERS * LIMIT) + [AdmitStatus.FULL] * (MANY - USERS * LIMIT)
    assert {row[0] for row in ask(HELD)} == {entry.session for entry in entries[: USERS * LIMIT]}
    assert await admit(nodes[0], entries[:3]) == [AdmitStatus.OK] * 3, "it was admitted before"


async def test_what_others_hold_counts_and_an_address_is_never_lent_twice(nodes, sent):
    one, other = nodes
    for ipv4 in (FIRST, None):
        await other.admit(make_entry("u", ipv4=ipv4))
    entries = [make_entry("u"), make_entry("v"), make_entry("w", ipv4=FIRST), make_entry("u", limit=0)]
    told = await one.admission.admit_several(entries)
    expected = [AdmitStatus.FULL, AdmitStatus.OK, AdmitStatus.ADDRESS, AdmitStatus.OK]
    assert [answer.status for answer in told] == expected
    assert {holder.node for holder in told[0].holders} == {other.id}
    assert sent.count(ADMIT_SEVERAL) == 1


async def test_those_whose_places_are_given_away_are_told(nodes, ask):
    one, other = nodes
    oldest = make_entry("u", limit=1)
    await other.admit(oldest)
    (answer,) = await one.admission.admit_several([make_entry("u", limit=1, on_excess="kick_oldest")])
    assert answer.status is AdmitStatus.OK
    assert ask("SELECT node, kind, encode(session, 'hex') FROM fleet.orders") == [(other.id, "evict", oldest.session)]


async def test_two_nodes_with_sessions_of_the_same_users_do_not_hold_each_other_up(nodes, ask):
    """They come in opposite orders, and the users are new to the database or not."""
    for _ in range(4):
        one, other = entries_of(), entries_of()[::-1]
        async with asyncio.timeout(TIMEOUT):
            told = await asyncio.gather(admit(nodes[0], one), admit(nodes[1], other))
        assert sum(states.count(AdmitStatus.OK) for states in told) == USERS * LIMIT
        assert ask(MOST_OF_A_USER) == [(LIMIT,)]
        ask("DELETE FROM fleet.sessions")


async def test_without_an_answer_none_is_admitted_and_all_are_taken_back_together(nodes, sent, ask):
    node, entries = nodes[0], entries_of(USERS)
    sent.failures = {ADMIT_SEVERAL: UnknownAnswerError("no answer in time")}
    with pytest.raises(FleetSilentError):
        await node.admission.admit_several(entries)
    await node.errands.until_empty()
    assert ask(HELD) == []
    assert sent.count(VOID) == 0
    assert sent.count(VOID_SEVERAL) == 1
    assert await admit(node, [replace(entry, generation=2) for entry in entries]) == [AdmitStatus.OK] * USERS


async def test_an_answer_that_comes_after_the_lease_had_ended_is_taken_back(nodes, sent, ask, monkeypatch):
    node, entries = nodes[0], entries_of(3)
    read = node.admission._read

    def end_and_read(*answer):
        node.membership.lease._until = float("-inf")
        return read(*answer)

    monkeypatch.setattr(node.admission, "_read", end_and_read)
    with pytest.raises(FleetSilentError, match="lease"):
        await node.admission.admit_several(entries)
    await node.errands.until_empty()
    assert ask(HELD) == []


async def test_of_an_address_that_is_taken_meanwhile_the_others_are_admitted(nodes, sent, ask):
    node, entries = nodes[0], entries_of(3)
    sent.failures = {ADMIT_SEVERAL: psycopg.errors.UniqueViolation()}
    assert await admit(node, entries) == [AdmitStatus.OK] * 3
    assert len(ask(HELD)) == 3


async def test_a_node_that_was_fenced_has_none_admitted(nodes, ask):
    node = nodes[0]
    me = node.membership.identity
    ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE id = :node", node=me.node)
    with pytest.raises(FleetSilentError):
        await node.admission.admit_several(entries_of(3))
    assert ask(HELD) == []
