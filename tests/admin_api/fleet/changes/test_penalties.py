# SPDX-License-Identifier: GPL-3.0-or-later
"""Penalties of one node refuse the source on the others, and are forgiven everywhere."""

from __future__ import annotations

import asyncio
import math

import pytest
import pytest_asyncio

from admin_api.fleet.changes import penalties
from lab.timeouts import TIMEOUT
from sentry_engine import Reason

pytestmark = pytest.mark.asyncio
SOURCE = "198.51.100.7"


@pytest_asyncio.fixture
async def pair(run_node, monkeypatch):
    """Two nodes that publish when the test says so."""
    monkeypatch.setattr(penalties, "INTERVAL", 1.0)
    monkeypatch.setattr(penalties.PenaltyPart, "start", lambda part: None)
    return await run_node("n1"), await run_node("n2")


def penalize(running, network, seconds=600):
    running.engine.penalize(network, seconds, reason=Reason.RATE_LIMIT, rule_id="hello")


def seconds_left(running):
    now = running.store.clock.monotonic()
    return {one.text: one.until - now for one in running.engine.penalties()}


async def tell(one, other):
    """Publishes what has become worse, and waits until the other node knows. Returns how many penalties that was."""
    count = await one.node.penalties.publish()
    async with asyncio.timeout(TIMEOUT):
        await other.node.changes.wait_for(one.store.published)
    return count


async def test_a_penalty_refuses_new_clients_elsewhere_and_cuts_none(pair, view):
    one, other = pair
    other.sessions.add(view("that is in", address=SOURCE))
    penalize(one, SOURCE)
    assert await tell(one, other) == 1
    assert other.refuses(SOURCE)
    (taken,) = other.engine.penalties()
    assert (taken.reason, taken.rule_id) == (Reason.RATE_LIMIT, "hello")
    assert 500 < seconds_left(other)[f"{SOURCE}/32"] <= 600
    assert [session.id for session in other.sessions.list()] == ["that is in"]
    assert await one.node.penalties.publish() == 0, "it is told once"
    assert await other.node.penalties.publish() == 0, "what was heard is not told again"


async def test_only_what_is_worse_is_told_and_none_becomes_shorter(pair):
    one, other = pair
    penalize(other, SOURCE, 3600)
    penalize(one, SOURCE, 600)
    assert await tell(one, other) == 1
    assert seconds_left(other)[f"{SOURCE}/32"] > 3000
    penalize(one, SOURCE, math.inf)
    penalize(one, "2001:db8::/48", 60)
    assert await tell(one, other) == 2
    assert seconds_left(other)[f"{SOURCE}/32"] == math.inf
    assert other.refuses("2001:db8::1")


async def test_the_longest_come_first_and_the_rest_is_counted(pair, monkeypatch):
    monkeypatch.setattr(penalties, "PER_SECOND", 6)  # of two nodes: three each
    one, other = pair
    for number in range(5):
        penalize(one, f"192.0.2.{number}", 100 * (number + 1))
    assert await tell(one, other) == 3
    assert {*seconds_left(other)} == {f"192.0.2.{number}/32" for number in (2, 3, 4)}
    assert one.node.penalties.left_out == 2
    assert await one.node.penalties.publish() == 0


async def test_a_penalty_is_forgiven_on_all_nodes(pair):
    one, other = pair
    penalize(one, SOURCE)
    penalize(one, "192.0.2.9")
    await tell(one, other)
    assert other.refuses(SOURCE)
    other.engine.clear_penalties(SOURCE)
    async with other.store.write() as unit:
        unit.changes.note(penalties.FORGIVEN, f"{SOURCE}/32")
    async with asyncio.timeout(TIMEOUT):
        await one.node.changes.wait_for(other.store.published)
    assert not one.refuses(SOURCE)
    assert one.refuses("192.0.2.9")
    assert one.read_again == ["lift"], "the kernel's filter lets the source in"
    penalize(one, SOURCE, 30)
    assert await tell(one, other) == 1, "a new penalty after that is told"
    assert other.refuses(SOURCE)


async def test_nodes_tell_by_themselves(run_node, monkeypatch):
    monkeypatch.setattr(penalties, "INTERVAL", 0.05)
    one, other = await run_node("n1"), await run_node("n2")
    penalize(one, SOURCE)
    async with asyncio.timeout(TIMEOUT):
        while not other.refuses(SOURCE):  # noqa: ASYNC110 - the engine has no event of it
            await asyncio.sleep(0.02)
