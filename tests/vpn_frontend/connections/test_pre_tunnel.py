# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole logins over the gateway in memory: bytes of clients in, bytes of the server out.

Each runs with a directory that has to be asked, and with one that answers at once.
"""

import asyncio
from types import SimpleNamespace

import pytest

from tests.vpn_frontend.connections.front import REPLY, Front, connect, cookie_of
from vpn_frontend.connections import tunnel_setup
from vpn_frontend.connections.pre_tunnel import CLIENT_PAUSE
from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason, VpnEvent
from vpn_frontend.sessions import liveness_probe

LIMIT = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [],
        "events": [{"label": "auth_failure", "max_rate_per_second": 1, "penalty_duration_sec": 60}],
    }
}


@pytest.mark.asyncio
async def test_a_client_logs_in_and_gets_its_tunnel(make_front):
    front = make_front()
    connection, _, answer = await front.enter()
    assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    assert b"\r\nX-CSTP-MTU: 1400\r\n" in answer
    assert [view.user for view in front.lab.live.list()] == ["alice"]
    assert len(front.connections) == 0, "the connection is the gateway's now"
    assert connection in front.gateway.connections


@pytest.mark.asyncio
async def test_a_login_may_go_over_several_connections(make_front):
    front = make_front()
    first = front.gateway.connect()
    cookie = cookie_of(await front.log_in(first))
    front.gateway.hang_up(first)
    answer = await front.open_tunnel(front.gateway.connect(), cookie)
    assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")


@pytest.mark.asyncio
async def test_the_banner_is_that_of_the_user_s_settings(make_front):
    front = make_front()
    front.lab.live.change_groups({"staff": {"banner": "Hello, staff."}})
    assert b"<banner>Hello, staff.</banner>" in await front.log_in(front.gateway.connect())
    assert b"<banner>" not in await front.log_in(front.gateway.connect(), "bob")


@pytest.mark.asyncio
async def test_a_client_fetches_the_profile_of_its_session_only(make_front):
    front = make_front()
    front.lab.live.change_groups({"staff": {"profile": "<AnyConnectProfile/>"}})

    async def fetch(cookie, path="/profiles/profile.xml"):
        request = f"GET {path} HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn={cookie}\r\n\r\n"
        return await front.say(front.gateway.connect(), request.encode())

    mine = cookie_of(await front.log_in(front.gateway.connect()))
    for path in ("/profiles/profile.xml", "/profiles%2Fprofile.xml"):
        assert (await fetch(mine, path)).endswith(b"\r\n\r\n<AnyConnectProfile/>")
    other = cookie_of(await front.log_in(front.gateway.connect(), "bob"))
    for cookie in (other, "", "x" * 64):
        assert (await fetch(cookie)).startswith(b"HTTP/1.1 404 ")


ANYCONNECT = "User-Agent: AnyConnect Windows 5.0.04032\r\nX-Transcend-Version: 1\r\nX-Aggregate-Auth: 1\r\n"
SECURE_CLIENT_INIT = """<?xml version="1.0" encoding="UTF-8"?>
<config-auth client="vpn" type="init" aggregate-auth-version="2">
<version who="vpn">5.0.04032</version>
<device-id computer-name="LAPTOP" device-type="20QE" platform-version="10.0.19045" unique-id="AB12">win</device-id>
<mac-address-list><mac-address public-interface="true">00-11-22-33-44-55</mac-address></mac-address-list>
<group-access>https://vpn.example.org</group-access>
<capabilities><auth-method>multiple-cert</auth-method><auth-method>single-sign-on-v2</auth-method></capabilities>
</config-auth>"""
SECURE_CLIENT_REPLY = SECURE_CLIENT_INIT.replace('type="init"', 'type="auth-reply"').replace(
    "<capabilities>", "<auth><username>alice</username><password>secret</password></auth><capabilities>"
)
SECURE_CLIENT_TUNNEL = (
    "X-CSTP-Version: 1\r\nX-CSTP-Hostname: LAPTOP\r\nX-CSTP-MTU: 1399\r\nX-CSTP-Address-Type: IPv6,IPv4\r\n"
    "X-CSTP-Local-Address-IP4: 192.0.2.1\r\nX-CSTP-Base-MTU: 1500\r\nX-CSTP-Full-IPv6-Capability: true\r\n"
    "X-CSTP-Accept-Encoding: lzs,deflate\r\nX-DTLS-Header-Pad-Length: 0\r\nX-DTLS-Accept-Encoding: lzs\r\n"
    f"X-DTLS-Master-Secret: {'5A' * 48}\r\nX-DTLS-CipherSuite: AES256-SHA:AES128-SHA:DES-CBC3-SHA\r\n"
    "X-DTLS12-CipherSuite: ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384\r\n"
)


@pytest.mark.asyncio
async def test_secure_client_logs_in_over_many_connections(make_front):
    """The window, the downloader and the agent are three processes, each with connections of its own."""
    front = make_front()
    window = front.gateway.connect()
    post = f"POST / HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}Content-Length: {{}}\r\n\r\n{{}}"
    for body in (SECURE_CLIENT_INIT, SECURE_CLIENT_REPLY):
        answer = await front.say(window, post.format(len(body), body).encode())
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    cookie = cookie_of(answer)
    assert b"webvpnc=bu:/&p:t&iu:1/&sh:" in answer
    for path in ("/1/index.html", "/1/Windows", "/1/VPNManifest.xml", "/1/binaries/update.txt"):
        downloader = front.gateway.connect()
        got = await front.say(downloader, f"GET {path} HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}\r\n".encode())
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    agent = front.gateway.connect()
    answer = await front.say(
        agent,
        f"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}Cookie: webvpn={cookie}\r\n"
        f"{SECURE_CLIENT_TUNNEL}\r\n".encode(),
    )
    for line in (
        "HTTP/1.1 200 CONNECTED",
        "X-CSTP-Address: 192.168.99.2",
        "X-CSTP-Address-IP6: fd00:99::2/64",
        "X-CSTP-Rekey-Method: ssl",
        "X-DTLS12-CipherSuite: ECDHE-RSA-AES256-GCM-SHA384",
        "X-DTLS-MTU: 1400",
    ):
        assert f"{line}\r\n".encode() in answer
    assert b"X-DTLS-CipherSuite" not in answer
    assert b"Content-Encoding" not in answer
    [view] = front.lab.live.list()
    assert (view.hostname, view.user_agent) == ("LAPTOP", "AnyConnect Windows 5.0.04032")
    [lease] = front.lab.engine.leases()
    assert lease.device == "AB12"


@pytest.mark.asyncio
async def test_secure_client_s_connections_may_talk_all_at_once(make_front):
    front = make_front()
    extra = "X-Support-HTTP-Auth: true\r\nX-Pad: 0000\r\nX-AnyConnect-STRAP-Pubkey: MFkw\r\n"
    head = f"POST / HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}{extra}Content-Length: {len(SECURE_CLIENT_REPLY)}\r\n\r\n"
    window = front.gateway.connect()
    whole = (head + SECURE_CLIENT_REPLY).encode()
    downloads = {
        front.gateway.connect(): f"GET {path} HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}\r\n".encode()
        for path in ("/1/index.html", "/1/Windows", "/1/VPNManifest.xml", "/1/binaries/update.txt")
    }
    requests = {window: whole, **downloads}
    for at in range(max(map(len, requests.values()))):  # a byte of each in turn
        for connection, request in requests.items():
            front.gateway.say(connection, request[at : at + 1])
    await front.settle()
    for connection in requests:
        assert front.gateway.sent[connection].startswith(b"HTTP/1.1 200 OK\r\n")
    cookie = cookie_of(bytes(front.gateway.sent[window]))
    agents = [front.gateway.connect() for _ in range(2)]
    connect_ = f"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\n{ANYCONNECT}Cookie: webvpn={cookie}\r\n\r\n".encode()
    for agent in agents:
        front.gateway.say(agent, connect_)
    await front.settle()
    assert len(front.lab.live.list()) == 1, "one cookie is one client, however many connections ask with it"
    assert len(front.lab.engine.leases()) == 1


@pytest.mark.asyncio
async def test_a_phone_is_probed_less_often(make_front):
    front = make_front()
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    answer = await front.say(
        connection,
        f"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn={cookie}\r\nX-CSTP-License: mobile\r\n"
        "X-AnyConnect-Identifier-Platform: android\r\nX-AnyConnect-Identifier-Device-UniqueID: F00\r\n\r\n".encode(),
    )
    assert b"X-CSTP-DPD: 1800\r\n" in answer
    assert front.lab.engine.leases()[0].device == "F00"


@pytest.mark.asyncio
async def test_a_reconnect_keeps_address_and_lease(make_front):
    front = make_front(limits={"max_same_clients": 1})
    connection, cookie, first = await front.enter()
    front.gateway.hang_up(connection)
    again = await front.open_tunnel(front.gateway.connect("198.51.100.9"), cookie)
    line = b"X-CSTP-Address: 192.168.99.2\r\n"
    assert line in first
    assert line in again
    assert len(front.lab.engine.leases()) == 1


@pytest.mark.asyncio
async def test_the_second_client_hears_why_it_is_refused(make_front):
    front = make_front(limits={"max_same_clients": 1})
    await front.enter()
    connection = await front.start_probe()
    front.gateway.answer(next(iter(front.gateway.sessions)))
    await front.settle()
    answer = bytes(front.gateway.sent[connection]).rpartition(b"HTTP/1.1 ")[2]
    assert answer.startswith(b"503 ")
    assert b"X-Reason: This user is already connected" in answer
    assert connection not in front.gateway.connections
    [refused] = front.lab.events.of("tunnel_refused")
    assert (refused["user"], refused["reason"]) == ("alice", "max_same_clients")


@pytest.mark.asyncio
async def test_a_new_login_takes_the_place_of_a_session_that_does_not_answer(make_front, monkeypatch):
    monkeypatch.setattr(tunnel_setup, "PROBE_TIMEOUT", 0.05)
    front = make_front(limits={"max_same_clients": 1})
    await front.enter()
    ask = front.gateway.ask

    def ask_and_wait(session):
        ask(session)
        front.lab.now += liveness_probe.PROBE_TIMEOUT  # at once: the timer may end as soon as it has begun

    monkeypatch.setattr(front.gateway, "ask", ask_and_wait)
    connection = await front.start_probe()
    await front.settle()
    assert b"HTTP/1.1 200 CONNECTED\r\n" in front.gateway.sent[connection]
    assert front.lab.reasons() == [CloseReason.REPLACED]
    assert len(front.lab.engine.leases()) == 1


@pytest.mark.asyncio
async def test_a_new_login_takes_the_place_and_address_of_a_roaming_session(make_front):
    front = make_front(limits={"max_same_clients": 1})
    connection, _, first = await front.enter()
    front.gateway.hang_up(connection)
    front.pump()
    _, _, second = await front.enter()
    assert b"X-CSTP-Address: 192.168.99.2\r\n" in first
    assert b"X-CSTP-Address: 192.168.99.2\r\n" in second


@pytest.mark.asyncio
@pytest.mark.parametrize("cookie", ["", "00" * 32, "x", "0" * 10_000])
async def test_a_bad_cookie_opens_nothing(make_front, cookie):
    front = make_front()
    connection = front.gateway.connect()
    assert (await front.open_tunnel(connection, cookie)).startswith(b"HTTP/1.1 401 Cookie is not acceptable\r\n")
    assert connection not in front.gateway.connections
    assert front.lab.engine.leases() == []


@pytest.mark.asyncio
async def test_a_user_disabled_after_login_opens_no_tunnel(make_front, users):
    front = make_front()
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    front.directory.users["alice"] = users["gone"]
    answer = await front.open_tunnel(connection, cookie)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"X-Reason: This account is disabled." in answer


@pytest.mark.asyncio
async def test_a_punished_source_hears_it_and_is_closed(make_front):
    front = make_front(LIMIT)
    connection = front.gateway.connect()
    assert b"<input" in await front.log_in(connection, password="wrong")
    answer = await front.log_in(connection, password="wrong")
    assert b"Try again in 60 seconds" in answer
    assert b"<input" not in answer
    assert connection not in front.gateway.connections


@pytest.mark.asyncio
async def test_garbage_costs_only_its_own_connection(make_front):
    front = make_front()
    connection, bad = (front.gateway.connect(address) for address in ("192.0.2.1", "198.51.100.1"))
    front.gateway.say(connection, b"POST /auth HTTP/1.1\r\nHost: vpn\r\n")
    assert (await front.say(bad, b"\x00\x01\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert bad not in front.gateway.connections
    assert (await front.say(connection, b"Content-Length: 0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    [refused] = front.lab.events.of("link_refused")
    assert str(refused["address"]) == "198.51.100.1"


@pytest.mark.asyncio
async def test_a_connection_that_dies_takes_its_question_along(make_front):
    front = make_front()
    connection = front.gateway.connect()
    body = REPLY.format("alice", "secret").encode()
    front.gateway.say(
        connection, f"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    front.pump()
    task = front.connections._connections.find_connection(connection).task
    front.gateway.hang_up(connection)
    front.pump()
    await asyncio.wait([task])
    assert task.cancelled()
    assert front.gateway.sent[connection] == b""
    assert len(front.lab.table._pending) == 0


@pytest.mark.asyncio
async def test_a_peer_that_talks_while_its_password_is_checked_is_cut(make_front):
    front = make_front()
    connection = front.gateway.connect()
    body = REPLY.format("alice", "secret").encode()
    front.gateway.say(
        connection, f"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    front.gateway.say(connection, b"GET / HTTP/1.1\r\n")
    await front.settle()
    assert bytes(front.gateway.sent[connection]).startswith(b"HTTP/1.1 400 ")
    assert connection not in front.gateway.connections


@pytest.mark.asyncio
async def test_a_request_that_never_ends_and_a_connection_that_talks_for_ever_are_closed(make_front):
    front = make_front()
    slow, old = front.gateway.connect(), front.gateway.connect()
    await front.say(slow, b"GET / HTTP/1.1\r\n")
    await front.say(old, b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n")
    front.connections.expire(front.lab.now + 29)
    assert {slow, old} <= front.gateway.connections
    front.connections.expire(front.lab.now + 30)
    assert slow not in front.gateway.connections
    front.connections.expire(front.lab.now + 480)
    assert old not in front.gateway.connections


@pytest.mark.asyncio
async def test_a_fault_of_ours_closes_the_connection_and_is_reported(make_front, monkeypatch):
    front = make_front()
    monkeypatch.setattr(front.lab.table, "log_in", lambda *_: SimpleNamespace().missing)
    connection = front.gateway.connect()
    assert await front.log_in(connection) == b""
    assert connection not in front.gateway.connections
    [failed] = front.lab.events.of("backend_failed")
    assert failed["what"] == "conversation"


@pytest.mark.asyncio
async def test_closing_the_connections_ends_what_is_under_way(make_front):
    front = make_front()
    connection = front.gateway.connect()
    body = REPLY.format("alice", "secret").encode()
    front.gateway.say(
        connection, f"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    front.pump()
    await front.connections.close()
    assert len(front.connections) == 0
    assert len(front.lab.table._pending) == 0


@pytest.mark.asyncio
async def test_a_login_under_way_becomes_a_tunnel_before_the_connections_close(make_front):
    front = make_front()
    connection, idle = front.gateway.connect(), front.gateway.connect()
    front.pump()
    front.lab.now += CLIENT_PAUSE  # the other one says nothing
    cookie = cookie_of(await front.log_in(connection))
    closing = asyncio.create_task(front.connections.close(patience=5.0))
    await asyncio.sleep(0)
    assert (await front.open_tunnel(connection, cookie)).startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    await closing  # the clock of the lab stands still: the patience is not over
    assert [view.user for view in front.lab.live.list()] == ["alice"]
    assert await front.say(idle, b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n") == b""


@pytest.mark.asyncio
async def test_a_login_that_does_not_go_on_is_not_waited_for(make_front):
    front = make_front()
    connection = front.gateway.connect()
    cookie = cookie_of(await front.log_in(connection))
    closing = asyncio.create_task(front.connections.close(patience=5.0))
    await asyncio.sleep(0)
    assert len(front.connections) == 1
    front.lab.now += CLIENT_PAUSE
    await closing
    assert await front.open_tunnel(connection, cookie) == b""


@pytest.mark.asyncio
async def test_a_login_that_hangs_is_waited_for_as_long_as_was_said(make_front, monkeypatch):
    front = make_front()
    monkeypatch.setattr(front.connections, "_is_busy", lambda connection: True)
    front.gateway.connect()
    front.pump()
    closing = asyncio.create_task(front.connections.close(patience=5.0))
    await asyncio.sleep(0)
    assert len(front.connections) == 1
    front.lab.now += 5.0
    await closing
    assert len(front.connections) == 0


@pytest.mark.asyncio
async def test_a_password_that_was_right_a_moment_ago_waits_for_nothing(make_lab, users):
    front = Front(make_lab(), users, knows=True)
    await front.enter()
    connection = front.gateway.connect()
    body = REPLY.format("alice", "secret").encode()
    front.gateway.say(connection, f"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    front.pump()
    front.gateway.say(connection, connect(cookie_of(bytes(front.gateway.sent[connection]))))
    front.pump()
    assert b"HTTP/1.1 200 CONNECTED" in front.gateway.sent[connection]
    front.passwords.close()


@pytest.mark.asyncio
async def test_a_fault_of_ours_costs_the_connection_alone(make_front, monkeypatch):
    front = make_front()
    await front.enter()
    monkeypatch.setattr(front.lab.table, "log_in", lambda *_: 1 / 0)
    connection = front.gateway.connect()
    assert await front.log_in(connection) == b""
    assert connection not in front.gateway.connections
    assert "ZeroDivisionError" in front.lab.events.of("backend_failed")[0]["error"]
    monkeypatch.undo()
    assert b"200 CONNECTED" in (await front.enter(user="bob"))[2]


@pytest.mark.asyncio
async def test_a_connection_that_the_gateway_evicts_is_reported(make_front):
    """The native gateway decides which: test_connection.py and test_source_eviction.c beside it."""
    front = make_front()
    evicted, neighbour = front.gateway.connect("192.0.2.1"), front.gateway.connect("192.0.2.2")
    front.gateway.hang_up(evicted, Cause.EVICTED)
    await front.settle()
    assert b"200 OK" in await front.log_in(neighbour)
    [refused] = front.lab.events.of(VpnEvent.LINK_REFUSED)
    assert (str(refused["address"]), refused["reason"]) == ("192.0.2.1", "too many connections of one address")


@pytest.mark.asyncio
async def test_a_penalty_closes_the_other_connections_of_its_source(make_front):
    front = make_front(LIMIT)
    guessing, idle = front.gateway.connect(), front.gateway.connect()
    neighbour = front.gateway.connect("198.51.100.1")
    checking = front.gateway.connect()
    await front.settle()
    await front.log_in(guessing, password="wrong")
    body = REPLY.format("bob", "wrong").encode()
    head = f"POST /auth HTTP/1.1\r\nHost: vpn\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    front.gateway.say(guessing, head + body)
    front.gateway.say(checking, head + body)
    await front.settle()
    for connection in (guessing, checking):
        assert b"Try again in 60 seconds" in front.gateway.sent[connection]
    assert {guessing, idle, checking}.isdisjoint(front.gateway.connections)
    assert b"webvpn=" in await front.log_in(neighbour)
    assert "the policy refuses its address" in [seen["reason"] for seen in front.lab.events.of(VpnEvent.LINK_REFUSED)]
