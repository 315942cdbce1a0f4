# SPDX-License-Identifier: GPL-3.0-or-later
"""CONNECT at each place where it waits: if the connection ends there, lease and addresses are released."""

import asyncio
import sys
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.vpn_frontend.auth.scripted import Scripted
from tests.vpn_frontend.connections.front import Front, connect, cookie_of
from vpn_frontend.auth.result import Accepted
from vpn_frontend.connections import tunnel_setup
from vpn_frontend.gateway.interface import Cause, ConnectionClosed
from vpn_frontend.ports import UserRecord
from vpn_frontend.sessions import table
from vpn_frontend.sessions.effective_settings import SettingsResolver

ONE = {"max_same_clients": 1}
WAITS = pytest.mark.parametrize("turns", [0, 20], ids=["before its first step", "while it waits"])


async def ask_for_tunnel(front):
    """Log alice in and send CONNECT, without the events that it causes; the connection."""
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    front.gateway.say(connection, connect(cookie))
    front.pump_once()
    return connection


async def lose(front, connection, turns):
    """End the connection after ``turns`` of the loop; its task must wait until then."""
    task = front.connections._connections.find_connection(connection).task
    for _ in range(turns):
        await asyncio.sleep(0)
    front.connections.connection_closed(ConnectionClosed(connection, Cause.PEER_RESET))
    await asyncio.wait([task])
    assert task.cancelled()
    front.pump()
    assert front.connections.changes._waiting == {}


@contextmanager
def entries(*modules):
    """A list of the functions of ``modules`` that code outside their module calls meanwhile."""
    files, found = {module.__file__ for module in modules}, []

    def note(frame, event, _):
        here, caller = frame.f_code.co_filename, frame.f_back and frame.f_back.f_code.co_filename
        if event == "call" and here in files and here != caller:
            found.append(f"{Path(here).stem}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


@pytest.mark.asyncio
async def test_connect_enters_tunnel_setup_and_the_session_table_six_times(make_lab, users):
    front = Front(make_lab(), users)
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    front.gateway.say(connection, connect(cookie))
    with entries(tunnel_setup, table) as walk:
        front.pump_once()
    assert len(front.gateway.sessions) == 1, "it got its tunnel in this turn"
    assert len(walk) == 6, walk


@WAITS
@pytest.mark.asyncio
async def test_a_connection_that_closes_during_the_look_up_holds_nothing(make_lab, users, turns):
    front = Front(make_lab(), users, knows=False)
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    front.directory.find = lambda _: asyncio.Event().wait()
    front.gateway.say(connection, connect(cookie))
    front.pump_once()
    await lose(front, connection, turns)
    assert front.lab.engine.leases() == []
    assert front.gateway.sessions == {}


@WAITS
@pytest.mark.asyncio
async def test_a_connection_that_closes_during_the_probe_holds_nothing(make_front, turns):
    front = make_front(limits=ONE)
    await front.enter()
    [lease] = front.lab.engine.leases()
    await lose(front, await front.start_probe(), turns)
    assert front.lab.engine.leases() == [lease]


@WAITS
@pytest.mark.asyncio
async def test_a_connection_that_closes_while_a_session_makes_room_holds_nothing(make_lab, users, turns):
    front = Front(make_lab(limits=ONE), users)
    old, _, _ = await front.enter()
    front.gateway.hang_up(old)
    front.pump()
    connection = await ask_for_tunnel(front)
    assert len(front.lab.engine.leases()) == 1, "the newcomer's: the other one has lost its own"
    await lose(front, connection, turns)
    assert front.lab.engine.leases() == []
    assert front.gateway.sessions == {}


@pytest.mark.asyncio
async def test_a_fault_while_the_answer_is_rendered_leaves_no_tunnel(make_front, monkeypatch):
    front = make_front(limits=ONE)
    monkeypatch.setattr(tunnel_setup, "render_connect_lines", lambda *_, **__: 1 / 0)
    connection, _, answer = await front.enter()
    assert answer == b""
    assert connection not in front.gateway.connections
    assert front.lab.engine.leases() == []
    assert front.gateway.sessions == {}
    assert front.lab.live.list() == []
    monkeypatch.undo()
    assert b"200 CONNECTED" in (await front.enter())[2]


@pytest.mark.asyncio
async def test_the_response_has_the_settings_of_the_session(make_lab, users):
    lab = make_lab()
    lab.table._resolver = SettingsResolver(
        lab.settings,
        {"staff": {"network": {"mtu": 1300, "routes": (ip_network("10.1.0.0/16"),)}, "session": {"dpd": 33}}},
    )
    front = Front(lab, users)
    _, _, answer = await front.enter()
    for line in (b"X-CSTP-MTU: 1300", b"X-CSTP-Split-Include: 10.1.0.0/255.255.0.0", b"X-CSTP-DPD: 33"):
        assert line + b"\r\n" in answer
    [session] = front.gateway.sessions.values()
    assert (session.parameters.mtu, session.parameters.dpd) == (1300, 33)
    _, _, answer = await front.enter(user="bob")
    assert b"X-CSTP-MTU: 1400\r\n" in answer


@pytest.mark.asyncio
async def test_a_user_of_an_outside_server_is_looked_up_again_only_some_time_after_the_login(make_lab, users):
    front = Front(make_lab(), users, methods=[Scripted(Accepted(UserRecord("guest", external=True), ()))])
    looked_up = []

    async def find(name):
        looked_up.append(name)

    front.directory.find = find
    connection, cookie, answer = await front.enter(user="guest")
    assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    assert looked_up == []
    front.gateway.hang_up(connection)
    front.pump()
    front.lab.now += tunnel_setup.RECENT_LOGIN
    answer = await front.open_tunnel(front.gateway.connect(), cookie)
    assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    assert looked_up == ["guest"]
