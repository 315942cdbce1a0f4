# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripted servers, and the servers that ask them; closed at the end of a test."""

import pytest
import pytest_asyncio

from tests.vpn_frontend.radius.scripted_server import ScriptedServer
from vpn_frontend.radius.servers import RadiusServers
from vpn_frontend.testing import MemoryEvents


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return MemoryEvents()


@pytest_asyncio.fixture
async def start_server():
    made = []

    async def start(*script, port=0):
        made.append(await ScriptedServer(list(script)).start(port))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest_asyncio.fixture
async def make_servers(events, clock):
    made = []

    def make(*targets, dead_time=60.0):
        made.append(RadiusServers(targets, purpose="login", dead_time=dead_time, events=events, clock=clock))
        return made[-1]

    yield make
    for servers in made:
        servers.close()
