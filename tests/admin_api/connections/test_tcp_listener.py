# SPDX-License-Identifier: GPL-3.0-or-later
"""The TCP port of the API beside clients that say nothing, half of something, or never read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from ipaddress import ip_address

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.connections import http_connection, tcp_listener
from admin_api.connections.http_connection import Phase
from admin_api.connections.tcp_listener import MAX_CONNECTIONS, SHARE, source_of
from admin_api.server import ApiServer
from lab.timeouts import TIMEOUT
from ocsentry.setup.certificates import make_self_signed, utc_now
from vpn_frontend.settings import Endpoint

pytestmark = pytest.mark.asyncio

LOOPBACK = Endpoint(ip_address("127.0.0.1"), 0)
SOON = 0.05  # seconds


@pytest_asyncio.fixture
async def running(services):
    api = ApiServer(create_app(services), services, listen=LOOPBACK, socket_path=None)
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
def impatient(monkeypatch):
    """Deadlines of a moment."""
    monkeypatch.setattr(http_connection, "TIMES", {Phase.HEAD: SOON, Phase.BODY: SOON})
    monkeypatch.setattr(http_connection, "READ_TIME", SOON)
    monkeypatch.setattr(tcp_listener, "HEAD_TIME", SOON)


async def connect(api: ApiServer, source: str = "127.0.0.1", sent: bytes = b"") -> tuple:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, local_addr=(source, 0))
    writer.write(sent)
    return reader, writer


async def health(api: ApiServer) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=TIMEOUT) as client:
        return await client.get("/healthz")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"POST /api/v1/blocks HTTP/1.1\r\nHost: x\r\n"])
async def test_silent_connections_keep_no_client_out(running, said):
    sources = [f"127.0.1.{n}" for n in range(1, 5)]
    held = [await connect(running, sources[n % 4], said) for n in range(MAX_CONNECTIONS)]
    assert (await health(running)).status_code == 200
    for _, writer in held:
        writer.close()


async def test_a_source_beyond_its_share_displaces_its_own(running):
    other = await connect(running, "127.0.1.1")
    held = [await connect(running, "127.0.1.2") for _ in range(SHARE + 1)]
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(held[0][0].read(), TIMEOUT) == b""
    other[1].write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert b'{"status":"ok"}' in await asyncio.wait_for(other[0].read(), TIMEOUT)
    for _, writer in held:
        writer.close()


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /healthz HT", b"POST /api/v1/blocks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf"],
)
async def test_half_a_request_is_answered_and_closed(running, impatient, said):
    reader, _ = await connect(running, sent=said)
    answer = await asyncio.wait_for(reader.read(), TIMEOUT)
    if not said.startswith(b"POST"):  # that one is answered 401 before its body
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "request_timeout"' in answer


async def test_the_second_head_has_a_deadline_too(running, impatient):
    reader, writer = await connect(running, sent=b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), TIMEOUT)
    writer.write(b"GET /heal")
    assert (await asyncio.wait_for(reader.read(), TIMEOUT)).startswith(b"HTTP/1.1 408 ")


async def test_malformed_http_is_a_problem_document(running):
    reader, _ = await connect(running, sent=b"nonsense\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), TIMEOUT)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


async def test_a_client_that_reads_nothing_is_closed(running, server, impatient):
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", running.port))
        await loop.sock_sendall(client, head.encode())
        hub = server.services.events

        async def until_gone():
            while not hub._listeners:  # noqa: ASYNC110 - the hub has no event for it
                await asyncio.sleep(0)
            while hub._listeners:
                hub.emit("noise", text="x" * 65_536)
                await asyncio.sleep(0)

        await asyncio.wait_for(until_gone(), TIMEOUT)


async def test_a_tls_handshake_that_never_comes_has_a_deadline_and_a_place(services, tmp_path, impatient):
    make_self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", ["localhost"], utc_now())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    api = ApiServer(create_app(services), services, listen=LOOPBACK, socket_path=None, tls=tls)
    await api.start()
    reader, _ = await connect(api)
    assert await asyncio.wait_for(reader.read(), TIMEOUT) == b""
    async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{api.port}", timeout=TIMEOUT, verify=False) as client:
        assert (await client.get("/healthz")).status_code == 200
    await api.stop()


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "20010db800010002/64"),
        ("fe80::1%eth0", "fe80000000000000/64"),
    ],
)
async def test_sources(address, source):
    assert source_of(address) == source
