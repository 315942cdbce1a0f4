# SPDX-License-Identifier: GPL-3.0-or-later
"""One of three nodes is cut off from the database while clients come and go, and holds the sessions that it has."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from admin_api.fleet.membership.membership import NodeState
from lab.services.held_link import HeldLink
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import LIMIT, USERS, Crowd, Node, make_entry
from vpn_frontend.sessions.fleet.port import AdmitStatus

pytestmark = pytest.mark.asyncio
DEAD_AFTER = 3.0  # seconds: the shortest that can be configured
SOME = 60  # operations
IS_LOST = "SELECT fleet.is_lost_v1(%s, %s, make_interval(secs => %s))"


@pytest.fixture
def folder():
    """Of a short path, as that of a Unix socket has to be."""
    with tempfile.TemporaryDirectory(prefix="ocs-link-") as name:
        yield Path(name)


@asynccontextmanager
async def split_fleet(make_node, url, folder, *, hold):
    """Three nodes, and the link of the first."""
    link = HeldLink(url, folder)
    await link.start()
    nodes = []
    try:
        for number in range(3):
            own = url if number else link.url
            member = await make_node(f"n{number}", url=own, dead_after=DEAD_AFTER)
            nodes.append(Node(member, own, hold=hold))
        yield nodes, link
    finally:
        link.heal()
        for node in nodes:
            await node.stop()
            await node.membership.stop()
        await link.close()


class HoldingCrowd(Crowd):
    """Sessions of the node that is cut off are held until it is back."""

    def __init__(self, nodes, link):
        super().__init__(nodes, 1_000_000)
        self._link, self._cut = link, nodes[0]

    async def hold_on(self, node, user):
        """Have a client log in there. Returns its session, and its part of the history."""
        entry, seen = make_entry(user), self.sessions.begin(user, time.monotonic())
        assert await node.admit(entry) is AdmitStatus.OK
        seen.result, seen.answered = "ok", time.monotonic()
        return entry, seen

    def end(self):
        self._left = 0

    async def until_more(self, count):
        await self.until_left(self._left - count)

    async def _hold(self, node):
        await super()._hold(node)
        if node is self._cut:
            await self._link.until_healed()
            await node.membership.wait_for(NodeState.MEMBER)


async def until_lost(url, node):
    """The others count the node as dead."""
    me = node.membership.identity
    async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        while True:
            found = await connection.execute(IS_LOST, (me.node, me.epoch, DEAD_AFTER))
            if (await found.fetchone())[0]:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("hold", "bound"), [(False, 2 * LIMIT), (True, LIMIT)], ids=["give_way", "hold"])
async def test_no_user_has_more_than_the_bound_while_a_node_is_cut_off(hold, bound, make_node, fleet_url, folder, ask):
    async with asyncio.timeout(TIMEOUT), split_fleet(make_node, fleet_url, folder, hold=hold) as (nodes, link):
        cut, crowd = nodes[0], HoldingCrowd(nodes, link)
        held = [await crowd.hold_on(cut, "user0") for _ in range(LIMIT)]
        running = asyncio.create_task(crowd.run())
        await crowd.until_more(SOME)
        link.cut()
        await cut.membership.wait_for(NodeState.CUT_OFF)
        await until_lost(fleet_url, cut)
        await crowd.until_more(SOME)
        while not hold and not crowd.sessions.violations(LIMIT):  # others have taken places of the held ones
            await crowd.until_more(SOME)
        link.heal()
        await cut.membership.wait_for(NodeState.MEMBER)
        for entry, seen in held:
            seen.released = time.monotonic()
            await cut.release(entry)
            seen.confirmed = time.monotonic()
        await crowd.until_more(SOME)
        crowd.end()
        await running
        for node in nodes:
            assert node.refused == []
            for user in range(USERS):
                await node.errands.until_done(f"user{user}")
    assert crowd.sessions.violations(bound) == []
    assert crowd.sessions.false_refusals(LIMIT) == []
    assert crowd.addresses.violations(1) == []
    assert crowd.sessions.count("ok") > SOME
    assert ask("SELECT count(*) FROM fleet.sessions WHERE NOT void") == [(0,)]
