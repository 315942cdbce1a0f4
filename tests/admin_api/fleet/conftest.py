# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a fleet on a PostgreSQL of Debian's package: each test has a database of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
import pytest_asyncio
from sqlalchemy import create_engine, text

from admin_api.clock import SYSTEM_CLOCK
from admin_api.enforcement.service import Enforcement
from admin_api.fleet import calls
from admin_api.fleet.membership.membership import Membership
from admin_api.fleet.node import FleetNode
from admin_api.fleet.settings import FleetSettings
from admin_api.store import Store
from admin_api.store.connections import postgresql
from lab.timeouts import TIMEOUT
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import FakeSessions
from vpn_frontend.sessions.effective_settings import SettingsResolver
from vpn_frontend.settings import VpnSettings

SECRET = bytes(range(32))


class Seen:
    """An event sink that remembers; tests wait for an event, never for time."""

    def __init__(self):
        self.events = []
        self._new = asyncio.Event()

    def emit(self, kind, **fields):
        self.events.append((str(kind), fields))
        self._new.set()

    def of(self, kind):
        return [fields for name, fields in self.events if name == kind]

    async def wait_for(self, kind, count=1):
        """Returns the fields of event number ``count`` of the kind."""
        async with asyncio.timeout(TIMEOUT):
            while len(self.of(kind)) < count:
                self._new.clear()
                await self._new.wait()
        return self.of(kind)[count - 1]


async def seen(running, ask, statement, **values):
    """Wait until the statement has a row, looking again after each beat of ``running``."""
    answered = asyncio.Event()
    running.node.membership.on_answer(lambda _: answered.set())
    async with asyncio.timeout(TIMEOUT):
        while not ask(statement, **values):
            await answered.wait()
            answered.clear()


@pytest_asyncio.fixture
async def fleet_url(postgresql_url):
    """A database with the newest schema."""
    await (await Store.open(postgresql_url)).close()
    return postgresql_url


@pytest.fixture
def ask(fleet_url):
    """Executes a statement beside the nodes. Returns its rows, if it has some."""
    engine = create_engine(fleet_url)

    def ask(statement, **values):
        with engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return done.all() if done.returns_rows else None

    yield ask
    engine.dispose()


@pytest.fixture
def patient_calls(monkeypatch):
    """Calls of the database that are only slow do not fail."""
    monkeypatch.setattr(calls.Calls.call, "__defaults__", (TIMEOUT,))
    monkeypatch.setattr(calls, "STATEMENT_TIMEOUT", int(TIMEOUT * 1000))
    monkeypatch.setattr(calls, "GIVE_UP", 2 * TIMEOUT)
    monkeypatch.setattr(calls, "CONNECT_TIMEOUT", int(TIMEOUT))


@pytest.fixture
def patient_requests(monkeypatch):
    """Requests of the API wait for a database that is only slow. Before the store is opened."""
    limits = postgresql.Limits(statement=TIMEOUT, answer=2 * TIMEOUT, connection=TIMEOUT)
    monkeypatch.setattr(postgresql.RequestConnection, "limits", limits)


@pytest_asyncio.fixture
async def make_node(fleet_url):
    """Makes nodes that are stopped at the end. ``started=False``: the caller starts it."""
    made = []

    async def make_node(
        name,
        *,
        url=None,
        instance=None,
        secret=SECRET,
        dead_after=10.0,
        started=True,
        peer_url="",
        version="1.0",
        jitter=None,
    ):
        more = {"dead_after": dead_after, "peer_url": peer_url}
        settings = FleetSettings(name, secret, instance or f"instance of {name}", version, **more)
        node = Membership(url or fleet_url, settings, Seen(), jitter)
        node.seen = node._events
        made.append(node)
        if started:
            await node.start()
        return node

    yield make_node
    for node in made:
        await node.stop()


@dataclass
class Running:
    """One node without its VPN."""

    node: FleetNode
    enforcement: Enforcement
    engine: Engine
    sessions: FakeSessions
    seen: Seen
    read_again: list

    @property
    def store(self):
        return self.node.store

    def refuses(self, address):
        return not self.engine.explain(address).verdict.accepted

    def has(self, cidr):
        return self.enforcement.blocks.of_network(cidr)


@pytest_asyncio.fixture
async def run_node(fleet_url, rules_folder):
    """Starts nodes, which are stopped at the end."""
    stops = []

    async def run_node(name, *, clock=SYSTEM_CLOCK, rules=rules_folder):
        seen = Seen()
        store = await Store.open(fleet_url, serving=True, node=name, clock=clock)
        stops.append(store.close)
        node = FleetNode(fleet_url, FleetSettings(name, SECRET, f"instance of {name}", "1.0"), store, seen)
        stops.append(node.stop)
        await node.start()
        engine = Engine(Policy.load(rules), core="reference")
        sessions = FakeSessions(engine)
        enforcement = Enforcement(engine, sessions, store, [rules], events=seen, block_rows=node.rows, clock=clock)
        await enforcement.start()
        stops.append(enforcement.stop)
        again = []

        async def read(what):
            again.append(what)

        node.follow(
            enforcement=enforcement,
            sessions=sessions,
            engine=engine,
            settings=SettingsResolver(VpnSettings()),
            read_settings=lambda: read("settings"),
            read_webhooks=lambda: read("webhooks"),
            lift=lambda: read("lift"),
        )
        return Running(node, enforcement, engine, sessions, seen, again)

    yield run_node
    for stop in reversed(stops):
        await stop()
