# SPDX-License-Identifier: GPL-3.0-or-later
"""A RADIUS server that never answers costs only the logins that ask it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import outcome_of
from tests.vpn_frontend.radius.conftest import clock, events, make_servers, start_server  # noqa: F401 - fixtures
from tests.vpn_frontend.radius.scripted_server import silence
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.radius.method import RadiusMethod
from vpn_frontend.auth.result import Accepted, Unavailable
from vpn_frontend.auth.supervised_method import supervise
from vpn_frontend.settings import RadiusSettings
from vpn_frontend.testing import MemoryDirectory

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))
BOUND = 1024  # requests that wait for one server


@pytest.mark.asyncio
async def test_a_thousand_logins_wait_and_other_methods_do_not(start_server, make_servers, events, users):  # noqa: F811
    server = await start_server(silence)
    servers = make_servers(server.target(timeout=3600.0, retries=0))
    directory = MemoryDirectory(users.values())
    hanging = supervise(RadiusMethod(servers, RadiusSettings(), directory), events)
    checker = PasswordChecker(threads=1)
    password = supervise(PasswordMethod(directory, checker), events)
    waiting = [
        asyncio.create_task(hanging.begin(replace(LOGIN, username=f"user{number}")).wait()) for number in range(BOUND)
    ]
    while len(server.requests) < BOUND:
        server.arrived.clear()
        await server.arrived.wait()
    assert isinstance(await outcome_of(password.begin(LOGIN)), Accepted)
    assert isinstance(await outcome_of(hanging.begin(LOGIN)), Unavailable), "one more than the bound is told at once"
    assert not any(task.done() for task in waiting)
    assert len(server.requests) == BOUND
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(not sock.waiting for sock in servers._servers[0].link._sockets), "a login that goes leaves nothing"
    checker.close()
