# SPDX-License-Identifier: GPL-3.0-or-later
"""Guesses at one account that spread over the nodes of a fleet, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time

import pytest

from admin_api.fleet.changes import failed_logins
from lab.timeouts import TIMEOUT
from vpn_frontend.auth.shared_failures import UNTOLD_FAILURES
from vpn_frontend.auth.user_throttle import FREE_FAILURES, UserThrottle

pytestmark = pytest.mark.asyncio


async def test_failures_at_one_node_count_at_the_others(run_node, ask, monkeypatch):
    monkeypatch.setattr(failed_logins, "INTERVAL", 3600)  # this test tells itself
    one, other = await run_node("n1"), await run_node("n2")
    throttles = [UserThrottle(running.node.sessions.admission.failures) for running in (one, other)]
    assert await one.node.failed_logins.tell() == 0
    now = time.monotonic()
    for _ in range(FREE_FAILURES + UNTOLD_FAILURES):
        throttles[0].note_failure("alice", now)
    throttles[0].note_failure("bob", now)
    assert throttles[1].take("alice", now) is None
    assert await one.node.failed_logins.tell() == 1
    async with asyncio.timeout(TIMEOUT):
        for running in (one, other):
            await running.node.changes.wait_for(one.store.published)
    assert throttles[1].take("alice", now) is not None
    assert throttles[1].take("bob", now) is None
    ((body,),) = ask("SELECT body FROM fleet.log WHERE kind = 'failed_logins'")
    assert [*body["users"].values()] == [FREE_FAILURES]
    assert "alice" not in str(body)


async def test_what_could_not_be_told_stops_nothing(run_node, monkeypatch):
    monkeypatch.setattr(failed_logins, "INTERVAL", 0.01)
    one = await run_node("n1")
    throttle = UserThrottle(one.node.sessions.admission.failures)
    part = one.node.failed_logins
    tell = part.tell

    async def fail_once():
        part.tell = tell
        raise OSError("away")

    part.tell = fail_once
    assert (await one.seen.wait_for("backend_failed"))["error"] == "away"
    for _ in range(UNTOLD_FAILURES + 1):
        throttle.note_failure("alice", time.monotonic())
    async with asyncio.timeout(TIMEOUT):
        await one.node.changes.wait_for(1)
