# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections without a tunnel over the gateway in memory: bytes of clients in, bytes of the server out."""

import asyncio

from vpn_frontend.auth.authenticator import Authenticator, Ways
from vpn_frontend.auth.composition import compose
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.supervised_method import supervise
from vpn_frontend.connections.host import Host
from vpn_frontend.connections.pre_tunnel import PreTunnelConnections
from vpn_frontend.gateway.interface import (
    ChannelDown,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    SessionAlive,
    SessionClosed,
)
from vpn_frontend.protocol.connection import LoginShape, PortalConfig
from vpn_frontend.protocol.login_attempts import LoginAttempts
from vpn_frontend.testing import MemoryDirectory

REPLY = '<config-auth type="auth-reply"><auth><username>{}</username><password>{}</password></auth></config-auth>'


class Front:
    """Connections with their lab; ``settle`` runs all pending work to its end."""

    def __init__(self, lab, users, *, knows=True, methods=(), required=(), pages=None, shape=None, **portal_config):
        self.lab = lab
        self.required = required
        self.gateway = lab.gateway
        self.directory = MemoryDirectory(users.values(), recalls=knows)
        self.passwords = PasswordChecker(threads=1, remember=60 if knows else 0)
        portal = PortalConfig(
            LoginAttempts(240), attempts=3, groups=(), certificate_sha1="", shape=shape or LoginShape(), **portal_config
        )
        authenticator = Authenticator(
            users=self.directory,
            engine=lab.engine,
            ways=Ways(self.supervised(methods or [PasswordMethod(self.directory, self.passwords)], required)),
            events=lab.events,
        )
        self.connections = PreTunnelConnections(
            lab.settings, {"": Host("", portal, authenticator)}, gateway=lab.gateway, sessions=lab.table,
            events=lab.events, clock=lambda: lab.now, pages=pages,
        )  # fmt: skip

    def supervised(self, methods, required):
        alternatives, also = ([supervise(one, self.lab.events) for one in some] for some in (methods, required))
        return compose(alternatives, also)

    def pump(self):
        while self.pump_once():
            pass

    def pump_once(self):
        """Hand over the waiting events, but not those that their handling causes. Returns how many."""
        events = self.gateway.events()
        for event in events:
            match event:
                case ConnectionUp():
                    self.connections.connection_up(event)
                case ConnectionData():
                    self.connections.connection_data(event)
                case ConnectionClosed():
                    self.connections.connection_closed(event)
                    self.lab.handle(event)
                case SessionClosed() | ChannelDown() | SessionAlive():
                    self.lab.handle(event)
                    self.connections.changes.notify()
        return len(events)

    async def settle(self):
        self.pump()
        while tasks := [connection.task for connection in self.connections._connections if connection.task is not None]:
            await asyncio.wait(tasks, timeout=0.05)
            self.pump()

    async def say(self, connection, data):
        """Send ``data`` as the peer and return what it got for it."""
        before = len(self.gateway.sent[connection])
        self.gateway.say(connection, data)
        await self.settle()
        return bytes(self.gateway.sent[connection][before:])

    async def log_in(self, connection, user="alice", password="secret"):
        body = REPLY.format(user, password).encode()
        head = f"POST /auth HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return await self.say(connection, head + body)

    async def open_tunnel(self, connection, cookie):
        return await self.say(connection, connect(cookie))

    async def enter(self, address="192.0.2.1", user="alice"):
        connection = self.gateway.connect(address)
        cookie = cookie_of(await self.log_in(connection, user))
        return connection, cookie, await self.open_tunnel(connection, cookie)

    async def start_probe(self):
        """A second login of alice, at the point where the first one is asked whether it is there; its connection."""
        connection = self.gateway.connect()
        cookie = cookie_of(await self.log_in(connection))
        self.gateway.say(connection, connect(cookie))
        self.pump()
        for _ in range(100):
            await asyncio.sleep(0)
        assert all(session.asked for session in self.gateway.sessions.values())
        return connection


def connect(cookie):
    return f"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn={cookie}\r\n\r\n".encode()


def cookie_of(answer):
    return answer.partition(b"webvpn=")[2].partition(b";")[0].decode()
