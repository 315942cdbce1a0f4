# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and clients that admit, hold and release sessions as fast as they can, and note what they saw."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import psycopg

from admin_api.fleet.calls import Calls
from admin_api.fleet.membership.membership import NodeState
from admin_api.fleet.sessions.admission import RELEASE, FleetAdmission
from admin_api.fleet.sessions.errands import Errands
from admin_api.fleet.sessions.keys import make_ring
from tests.admin_api.fleet.history import History
from vpn_frontend.auth.shared_failures import SharedFailures
from vpn_frontend.gateway.interface import NO_COUNTERS
from vpn_frontend.sessions.fleet.port import AdmitStatus, Entry, FleetSilentError

LIMIT = 2
USERS = 6
CLIENTS = 8  # of each node
POOL = ip_network("10.9.0.0/29")  # five addresses for clients
SOURCE = ip_address("198.51.100.1")


def make_entry(user, *, limit=LIMIT, ipv4=None, generation=1, session=None, device="", on_excess="deny_new"):
    digest = bytes(32)
    session = session or secrets.token_hex(16)
    return Entry(session, generation, user, device, limit, on_excess, digest, ipv4, None, SOURCE, 0.5, None, 300)


class Node:
    """One node's side of the database, without a VPN."""

    def __init__(self, membership, url, *, hold=False):
        self.membership = membership
        self.refused = []
        self.calls = Calls(url)
        self.errands = Errands(self.calls, self.refused.append)
        self.admission = FleetAdmission(
            self.calls,
            self.errands,
            membership.lease,
            dead_after=membership.settings.dead_after,
            keys=make_ring(membership.settings.secret, datetime.now(UTC)),
            failures=SharedFailures(bytes(32)),
            hold=hold,
            alone_is_allowed=True,
            find_record=_no_record,
            is_draining=lambda: membership.draining,
        )
        self._sender = asyncio.create_task(self.errands.run())

    @property
    def id(self):
        return self.membership.identity.node

    async def stop(self):
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await self.calls.close()

    async def admit(self, entry):
        return (await self.admission.admit(entry)).status

    async def release(self, entry):
        """Returns once the database has confirmed it."""
        self.admission.release(entry.session, entry.generation, entry.user)
        await self.errands.until_done(entry.user)


async def _no_record(_):
    return None, NO_COUNTERS


@asynccontextmanager
async def nodes_of(make_node, url, count=3, **options):
    members = [await make_node(f"n{number}", url=url) for number in range(count)]
    made = [Node(member, url, **options) for member in members]
    try:
        yield made
    finally:
        for node in made:
            await node.stop()


class Crowd:
    """``run`` ends after ``operations`` admissions of all clients together."""

    def __init__(self, nodes, operations, seed=1):
        self.sessions, self.addresses = History(), History()
        self._nodes = nodes
        self._left = operations
        self._random = random.Random(seed)
        self.reached = asyncio.Condition()

    async def run(self):
        clients = [self._client(node) for node in self._nodes for _ in range(CLIENTS)]
        await asyncio.gather(*clients)

    async def _client(self, node):
        while self._left > 0:
            self._left -= 1
            async with self.reached:
                self.reached.notify_all()
            await self._session(node)
            if self._random.random() < 0.2:
                await self._address(node)

    async def until_left(self, count):
        async with self.reached:
            await self.reached.wait_for(lambda: self._left <= count)

    async def _session(self, node):
        entry = make_entry(f"user{self._random.randrange(USERS)}")
        seen = self.sessions.begin(entry.user, time.monotonic())
        try:
            status = await node.admit(entry)
        except FleetSilentError:
            await node.errands.until_done(entry.user)  # nothing waits if it was not asked
            seen.confirmed = time.monotonic()
            await self._pause_until_back(node)
            return
        seen.answered = time.monotonic()
        seen.result = "full" if status is AdmitStatus.FULL else "ok"
        if status is not AdmitStatus.FULL:
            assert status is AdmitStatus.OK, status
            await self._hold(node)
            seen.released = time.monotonic()
            await self._until_released(node, entry)
        seen.confirmed = time.monotonic()

    async def _hold(self, node):
        await asyncio.sleep(self._random.random() * 0.01)  # the length does not matter

    async def _pause_until_back(self, node):
        self._left += 1
        await asyncio.sleep(0.02)  # else the crowd would use its operations up while the database is away
        await node.membership.wait_for(NodeState.MEMBER)

    async def _until_released(self, node, entry):
        """Released by its own call, so that the answer's time is its own; another client's errands do not count."""
        values = (node.id, bytes.fromhex(entry.session), entry.generation)
        while True:
            try:
                return await node.calls.call(RELEASE, values)
            except FleetSilentError:
                await asyncio.sleep(0.01)  # the database is away, and comes back

    async def _address(self, node):
        called = time.monotonic()
        try:
            lent = await node.admission.lend(POOL, 1)
        except FleetSilentError:
            return
        for address in lent:
            seen = self.addresses.begin(str(address), called)
            seen.result, seen.answered = "ok", time.monotonic()
            await asyncio.sleep(self._random.random() * 0.01)
            seen.released = time.monotonic()
            node.admission.give_back(POOL, [address])


def kill_a_backend(url, chosen):
    """SIGKILL one server process of the database: PostgreSQL ends all others and recovers, as after a crash."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
        os.kill(chosen.choice(rows)[0], signal.SIGKILL)
