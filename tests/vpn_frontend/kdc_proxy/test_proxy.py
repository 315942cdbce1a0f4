# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy with KDCs on loopback that answer, hang, lie and are away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from vpn_frontend.kdc_proxy import proxy as module
from vpn_frontend.kdc_proxy.messages import MAX_REPLY, parse_proxy_message, render_proxy_message
from vpn_frontend.kdc_proxy.proxy import KdcProxy
from vpn_frontend.ports import VpnEvent
from vpn_frontend.protocol.http import HttpResponse
from vpn_frontend.protocol.http_fast_path import HttpRequest
from vpn_frontend.settings import KdcRealm, parse_endpoint
from vpn_frontend.testing import MemoryEvents

REQUEST, ANSWER = b"\0\0\0\3req", b"\0\0\0\6answer"
NAMED = bytes.fromhex("3015 a009 0407") + REQUEST + bytes.fromhex("a108 1b06") + b"b.test"


def ask(body, path="/KdcProxy"):
    return HttpRequest("POST", path, "", (), body)


@asynccontextmanager
async def kdc(answer, hang=False):
    """(a KDC's endpoint, the messages that it got)"""
    got = []

    async def serve(reader, writer):
        got.append(await reader.readexactly(len(REQUEST)))
        if hang:
            await reader.read()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield parse_endpoint(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"), got


@pytest.mark.asyncio
async def test_a_message_reaches_the_kdc_of_its_realm_and_the_answer_comes_back():
    events = MemoryEvents()
    async with kdc(ANSWER) as (first, to_first), kdc(b"\0\0\0\1b") as (second, to_second):
        realms = [KdcRealm("/KdcProxy", "A.TEST", first), KdcRealm("/KdcProxy", "B.TEST", second)]
        proxy = KdcProxy(realms, events)
        answer = await proxy.show(ask(render_proxy_message(REQUEST)))
        assert (answer.status, parse_proxy_message(answer.body).kerberos) == (200, ANSWER)
        assert ("Content-Type", "application/kerberos") in answer.headers
        named = await proxy.show(ask(NAMED))
        assert parse_proxy_message(named.body).kerberos == b"\0\0\0\1b"
    assert (to_first, to_second) == ([REQUEST], [REQUEST])
    assert events.seen == []


@pytest.mark.asyncio
async def test_other_realms_hold_for_requests_to_come():
    async with kdc(ANSWER) as (first, to_first), kdc(ANSWER) as (second, to_second):
        proxy = KdcProxy([KdcRealm("/KdcProxy", "A.TEST", first)], MemoryEvents())
        proxy.use([KdcRealm("/KdcProxy", "A.TEST", second)])
        assert (await proxy.show(ask(render_proxy_message(REQUEST)))).status == 200
    assert (to_first, to_second) == ([], [REQUEST])


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [b"", b"\0\0", b"\0\0\0\7short", b"\0\0\0\0", (MAX_REPLY + 1).to_bytes(4, "big")])
async def test_a_kdc_that_breaks_off_or_lies_is_a_bad_gateway(answer):
    events = MemoryEvents()
    async with kdc(answer) as (server, _):
        response = await KdcProxy([KdcRealm("/KdcProxy", "A", server)], events).show(ask(render_proxy_message(REQUEST)))
    assert response.status == 502
    assert [kind for kind, _ in events.seen] == [VpnEvent.BACKEND_FAILED]


@pytest.mark.asyncio
async def test_a_kdc_that_is_away_is_a_bad_gateway():
    async with kdc(ANSWER) as (server, _):
        pass
    proxy = KdcProxy([KdcRealm("/KdcProxy", "A", server)], MemoryEvents())
    assert (await proxy.show(ask(render_proxy_message(REQUEST)))).status == 502


@pytest.mark.asyncio
async def test_requests_are_bounded_and_each_in_time(monkeypatch):
    monkeypatch.setattr(module, "MAX_REQUESTS", 2)
    async with kdc(ANSWER, hang=True) as (server, got), kdc(ANSWER) as (other, _), asyncio.TaskGroup() as group:
        realms = [KdcRealm("/KdcProxy", "A", server), KdcRealm("/KdcProxy", "B.TEST", other)]
        proxy = KdcProxy(realms, MemoryEvents())
        hanging = [group.create_task(proxy.show(ask(render_proxy_message(REQUEST)))) for _ in range(2)]
        while len(got) < 2:  # noqa: ASYNC110 - the KDC has no event to wait for
            await asyncio.sleep(0)
        assert (await proxy.show(ask(render_proxy_message(REQUEST)))).status == 503
        assert (await proxy.show(ask(NAMED))).status == 200, "a KDC that hangs holds up no other realm"
        for task in hanging:
            task.cancel()
    monkeypatch.setattr(module, "DEADLINE", 0.01)
    async with kdc(ANSWER, hang=True) as (server, _):
        late = KdcProxy([KdcRealm("/KdcProxy", "A", server)], MemoryEvents())
        assert (await late.show(ask(render_proxy_message(REQUEST)))).status == 502


@pytest.mark.asyncio
async def test_other_paths_are_those_of_logins_and_a_bad_body_asks_no_kdc():
    class Pages:
        async def show(self, request):
            return HttpResponse(200, "OK", (), request.path.encode())

    async with kdc(ANSWER) as (server, got):
        proxy = KdcProxy([KdcRealm("/KdcProxy", "A", server)], MemoryEvents(), Pages())
        assert (await proxy.show(ask(b"", "/page"))).body == b"/page"
        assert (await proxy.show(ask(b"GET / HTTP/1.1"))).status == 400
        assert got == []
        with pytest.raises(TypeError):
            await KdcProxy([], MemoryEvents()).show(ask(b""))
