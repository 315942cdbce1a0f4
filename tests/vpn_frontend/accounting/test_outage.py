# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeRADIUS is killed and started again during 200 sessions, with the real store and the gateway in memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from ipaddress import IPv4Network, ip_address

import pytest
import pytest_asyncio

from admin_api.store import Store
from admin_api.store.accounting.ledger import StoredLedger
from lab.services.freeradius import PASSWORD, SECRET, FreeRadius, Here
from lab.timeouts import TIMEOUT
from ocsentry.late_sessions import LateSessions
from tests.vpn_frontend.reserved_ports import port_of, reserve_port
from vpn_frontend.accounting import reporter as reporter_module
from vpn_frontend.accounting.reporter import AccountingReporter
from vpn_frontend.auth.radius.method import RadiusMethod
from vpn_frontend.auth.supervised_method import supervise
from vpn_frontend.gateway import tun
from vpn_frontend.gateway.interface import Cause
from vpn_frontend.radius.link import Target
from vpn_frontend.radius.servers import RadiusServers
from vpn_frontend.server import VpnServer
from vpn_frontend.settings import AuthSettings, Endpoint, RadiusSettings, parse_endpoint
from vpn_frontend.testing import MemoryEvents, MemoryGateway

pytestmark = pytest.mark.asyncio

SESSIONS = 200
REPLY = (
    '<config-auth type="auth-reply"><auth><username>{}</username><password>{}</password></auth></config-auth>'
)  # fmt: skip


class World:
    """A server whose users and accounting are FreeRADIUS's, and its clients' steps."""

    def __init__(self, freeradius, store, gateway, events, vpn, reporter):
        self.freeradius, self.store, self.gateway, self.events = freeradius, store, gateway, events
        self.vpn, self.reporter = vpn, reporter

    async def until(self, condition, what, pause=0.01):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"not {what}"
            await asyncio.sleep(pause)

    async def say(self, connection, data):
        sent = self.gateway.sent[connection]
        before = len(sent)
        self.gateway.say(connection, data)
        await self.until(lambda: len(sent) > before, "answered")
        return bytes(sent[before:])

    async def enter(self, number):
        """Log in and open a tunnel; returns the connection."""
        body = REPLY.format(f"user{number}", PASSWORD).encode()
        connection = self.gateway.connect(f"192.0.2.{number % 250 + 1}")
        head = f"POST /auth HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        answer = await self.say(connection, head + body)
        cookie = answer.partition(b"webvpn=")[2].partition(b";")[0]
        head = b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn=" + cookie + b"\r\n\r\n"
        answer = await self.say(connection, head)
        assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n"), answer
        return connection

    def move(self, connection, *, received, sent):
        [number] = [key for key, one in self.gateway.sessions.items() if one.connection_id == connection]
        self.gateway.move_data(number, received=received, sent=sent)

    async def told(self, kind, count):
        """Records of ``kind`` in FreeRADIUS's file, once there are ``count``."""

        def look():
            return [record for record in self.freeradius.accounting() if record["Acct-Status-Type"] == kind]

        await self.until(lambda: len(look()) >= count, f"{count} records {kind}", pause=0.3)
        return look()


@pytest_asyncio.fixture
async def world(tmp_path, make_settings, make_engine, monkeypatch):
    def configured(device):
        pass

    monkeypatch.setattr(tun, "open_queues", lambda name, count: ())
    monkeypatch.setattr(tun, "configure", configured)
    monkeypatch.setattr(reporter_module, "RETRY", 0.1)
    reserved = [reserve_port() for _ in range(3)]
    ports = [port_of(one) for one in reserved]
    freeradius = await asyncio.to_thread(
        FreeRadius, tmp_path / "raddb", Here(), port=ports[0], accounting_port=ports[1]
    )
    store, gateway, events, engine = (
        await Store.open(f"sqlite:///{tmp_path}/db"),
        MemoryGateway(),
        MemoryEvents(),
        make_engine(),
    )
    monkeypatch.setattr(type(engine), "gate_address", 0)

    def servers(port, purpose, timeout, retries):
        target = Target(Endpoint(ip_address("127.0.0.1"), port), SECRET.encode(), timeout=timeout, retries=retries)
        return RadiusServers([target], purpose=purpose, dead_time=0, events=events, clock=time.monotonic)

    sessions = LateSessions()
    logins, settings = servers(ports[0], "login", 60.0, 3), RadiusSettings()
    reporter = AccountingReporter(
        # No repetitions: FreeRADIUS 3.2.1 writes the repetition of a request that it has answered again.
        servers(ports[1], "accounting", 20.0, 0),
        StoredLedger(store),
        nas_identifier="vpn1",
        interim=0,
        refuse_without=False,
        view=sessions.get,
        end_session=sessions.kill,
        events=events,
        clock=time.monotonic,
    )
    vpn = VpnServer(
        make_settings(
            network={"ipv4_pool": IPv4Network("192.168.96.0/22")},
            limits={"max_clients": 1000, "max_same_clients": 0},
            listen=(parse_endpoint(f"127.0.0.1:{ports[2]}"),),
            dtls=False,
            worker_threads=1,
            auth=AuthSettings(methods=("radius",)),
        ),
        engine=engine,
        users=store,
        methods={"radius": supervise(RadiusMethod(logins, settings, store), events)},
        journal=store,
        events=events,
        open_gateway=gateway,
        accounting=reporter,
    )
    reporter.start()
    await vpn.start()
    sessions.attach(vpn.sessions)
    yield World(freeradius, store, gateway, events, vpn, reporter)
    await vpn.stop("")
    await reporter.stop()
    logins.close()
    await store.close()
    freeradius.kill()
    for one in reserved:
        one.close()


async def test_no_session_is_lost_and_each_is_told_exactly_once(world):
    connections = await asyncio.gather(*(world.enter(number) for number in range(SESSIONS)))
    await world.told("Start", SESSIONS)
    await world.until(world.reporter._idle.is_set, "noted")  # every answer has come
    for number, connection in enumerate(connections):
        world.move(connection, received=number + 1, sent=2 * number)
    world.freeradius.kill()
    for connection in connections[: SESSIONS // 2]:
        world.gateway.hang_up(connection, Cause.PEER_DISCONNECT, b"\xb0bye")
    await world.until(lambda: world.events.of("radius_server_dead"), "noticed")
    assert len(world.vpn.sessions.list()) == SESSIONS // 2, "the others live on"
    assert len(world.events.of("radius_server_dead")) == 1
    await asyncio.to_thread(world.freeradius.start)
    await world.told("Stop", SESSIONS // 2)
    for connection in connections[SESSIONS // 2 :]:
        world.gateway.hang_up(connection, Cause.PEER_DISCONNECT, b"\xb0bye")
    stops = await world.told("Stop", SESSIONS)
    starts = await world.told("Start", SESSIONS)
    for told in (starts, stops):
        assert set(Counter(record["Acct-Session-Id"] for record in told).values()) == {1}
        assert len(told) == SESSIONS
    assert {record["User-Name"] for record in starts} == {f"user{number}" for number in range(SESSIONS)}
    for record in stops:
        number = int(record["User-Name"].removeprefix("user"))
        assert (int(record["Acct-Input-Octets"]), int(record["Acct-Output-Octets"])) == (number + 1, 2 * number)
        assert record["Acct-Terminate-Cause"] == "User-Request"
    await world.until(world.reporter._idle.is_set, "noted")
    assert await StoredLedger(world.store).due(1000) == []
    assert world.events.of("backend_failed") == []
