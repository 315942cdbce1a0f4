# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: commands, HTTP, peers, and its life cycle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.connections import http_connection
from admin_api.control import lines
from admin_api.control import socket as control
from admin_api.control.lines import MAX_LINE
from admin_api.control.socket import MAX_CONNECTIONS, SocketInUseError
from admin_api.server import ApiServer
from lab.timeouts import TIMEOUT
from vpn_frontend.settings import Endpoint

pytestmark = pytest.mark.asyncio

LOOPBACK = Endpoint(ip_address("127.0.0.1"), 0)


@pytest.fixture
def socket_path(tmp_path):
    return tmp_path / "admin.sock"


@pytest_asyncio.fixture
async def running(services, socket_path):
    api = ApiServer(create_app(services), services, listen=LOOPBACK, socket_path=socket_path)
    await api.start()
    yield api
    await api.stop()


async def ask(path: Path, sent: bytes) -> list[dict]:
    """Returns everything that the socket answers to ``sent``."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    writer.write_eof()
    answers = await asyncio.wait_for(reader.read(), TIMEOUT)
    writer.close()
    return [json.loads(line) for line in answers.splitlines()]


def over_socket(path: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    return httpx.AsyncClient(transport=transport, base_url="http://local", timeout=TIMEOUT)


def over_tcp(running: ApiServer, **more: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=TIMEOUT, **more)


class TestLines:
    async def test_block_and_unblock(self, running, services, socket_path, view):
        services.sessions.add(view(address="198.51.100.42"))
        line = b'{"command": "block_ip", "ip": "198.51.100.42", "reason": "Brute force"}\n'
        (answer,) = await ask(socket_path, line)
        assert answer["ok"]
        assert answer["sessions_cut"] == 1
        assert not services.engine.explain("198.51.100.42").verdict.accepted
        (answer,) = await ask(socket_path, b'{"command": "unblock_ip", "ip": "198.51.100.42"}\n')
        assert answer == {"ok": True, "ip": "198.51.100.42"}
        assert services.engine.explain("198.51.100.42").verdict.accepted
        (answer,) = await ask(socket_path, b'{"command": "unblock_ip", "ip": "198.51.100.42"}\n')
        assert not answer["ok"]
        assert answer["error"] == "not_found"

    async def test_several_lines_are_answered_in_order(self, running, socket_path):
        lines = b'{"command": "status"}\n\n{"command": "nothing"}\n{"command": "reload_rules"}'
        status, unknown, reloaded = await ask(socket_path, lines)
        assert status["version"] == "1.2.3"
        assert status["sessions"] == status["leases"] == 0
        assert not unknown["ok"]
        assert reloaded["rules"] == 2

    async def test_line_in_pieces(self, running, socket_path):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        for byte in b'{"command": "status"}\n':
            writer.write(bytes([byte]))
            await writer.drain()
        assert json.loads(await asyncio.wait_for(reader.readline(), TIMEOUT))["ok"]
        writer.close()

    @pytest.mark.parametrize(
        "line",
        [
            b"{",
            b"{}",
            b'{"command": 7}',
            b'{"command": "block_ip"}',
            b'{"command": "block_ip", "ip": "nonsense"}',
            b'{"command": "block_ip", "ip": "198.51.100.7/24"}',
            b'{"command": "block_ip", "ip": "198.51.100.7", "ttl": -1}',
            b'{"command": "block_ip", "ip": "198.51.100.7", "force": 1}',
            b'{"command": "block_ip", "ip": "198.51.100.7", "forced": true}',
            b'{"command": "status"} trailing',
            b'{"a":' * 5000,
            b"{\xff\xfe}",
        ],
    )
    async def test_invalid(self, running, services, socket_path, line):
        (answer,) = await ask(socket_path, line + b"\n")
        assert not answer["ok"]
        assert answer["error"] == "invalid"
        assert answer["detail"]
        assert services.engine.blocks() == ()

    @pytest.mark.parametrize("ip", ["0.0.0.0/0", "::/0", "128.0.0.0/1"])
    async def test_a_wide_block_needs_force(self, running, services, socket_path, ip):
        line = f'{{"command": "block_ip", "ip": "{ip}"}}\n'.encode()
        (answer,) = await ask(socket_path, line)
        assert (answer["ok"], answer["error"]) == (False, "needs_force")
        assert services.engine.blocks() == ()
        (answer,) = await ask(socket_path, line.replace(b"}", b', "force": true}'))
        assert answer["ok"]

    async def test_failed_reload_names_the_location(self, running, services, socket_path, rules_folder):
        (rules_folder / "broken.json").write_text('{"wolfsentry": {"version": "1", "rules": [{"id": "x"}]}}')
        (answer,) = await ask(socket_path, b'{"command": "reload_rules"}\n')
        assert answer["error"] == "invalid_policy"
        assert "broken.json" in answer["detail"]
        assert services.enforcement.status().failure is not None

    async def test_line_without_newline_is_refused_at_the_limit(self, running, socket_path):
        (answer,) = await ask(socket_path, b"{" + b" " * 2 * MAX_LINE)
        assert answer["error"] == "too_large"


class TestDeadlines:
    @pytest.fixture
    def impatient(self, monkeypatch):
        for module, name in ((lines, "LINE_TIME"), (lines, "IDLE_TIME"), (control, "FIRST_BYTE")):
            monkeypatch.setattr(module, name, 0.05)
        monkeypatch.setattr(http_connection, "TIMES", {http_connection.Phase.HEAD: 0.05})

    async def test_half_a_line(self, running, socket_path, impatient):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b'{"comm')
        answer = json.loads(await asyncio.wait_for(reader.read(), TIMEOUT))
        assert answer["error"] == "request_timeout"

    @pytest.mark.parametrize("sent", [b"", b" \n", b"GET /healthz", b'{"command":"status"}\n'])
    async def test_silence(self, running, socket_path, impatient, sent):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(sent)
        await asyncio.wait_for(reader.read(), TIMEOUT)

    @pytest.mark.parametrize("sent", [b"", b'{"comm', b"GET /healthz", b'{"command":"status"}\n'])
    async def test_silent_clients_keep_no_command_out(self, running, socket_path, sent):
        held = [await asyncio.open_unix_connection(socket_path) for _ in range(MAX_CONNECTIONS)]
        for _, writer in held:
            writer.write(sent)
        assert (await ask(socket_path, b'{"command": "status"}\n'))[0]["ok"]
        for _, writer in held:
            writer.close()

    @pytest.mark.parametrize("sent", [b"status\n", b"[1]\n", b"\xef\xbb\xbf{}\n", b"\xff\xfe{\x00"])
    async def test_neither_http_nor_a_command(self, running, socket_path, sent):
        (answer,) = await ask(socket_path, sent)
        assert answer["error"] == "invalid"

    async def test_leading_space_is_skipped(self, running, socket_path):
        assert (await ask(socket_path, b' \n {"command": "status"}\n'))[0]["ok"]


class TestHttp:
    async def test_root_needs_no_token(self, running, socket_path):
        async with over_socket(socket_path) as client:
            made = await client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24"})
            assert made.status_code == 201
            assert made.json()["created_by"] == f"local:uid={os.geteuid()}"
            assert (await client.get("/api/v1/status")).json()["blocks"] == 1
            assert (await client.delete(f"/api/v1/blocks/{made.json()['id']}")).status_code == 204

    async def test_tcp_needs_one(self, running):
        async with over_tcp(running) as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            assert (await client.get("/api/v1/status")).status_code == 401

    async def test_header_cannot_claim_an_identity(self, running):
        headers = {"X-Forwarded-For": "203.0.113.1", "ocsentry.principal": "root"}
        async with over_tcp(running, headers=headers) as client:
            assert (await client.get("/api/v1/status")).status_code == 401


class TestFile:
    async def test_is_only_for_its_owner(self, running, socket_path):
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600

    async def test_is_removed_at_stop(self, services, socket_path):
        api = ApiServer(create_app(services), services, listen=None, socket_path=socket_path)
        await api.start()
        await api.stop()
        assert not socket_path.exists()

    async def test_stale_socket_is_replaced(self, services, socket_path):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(socket_path))
        api = ApiServer(create_app(services), services, listen=None, socket_path=socket_path)
        await api.start()
        assert (await ask(socket_path, b'{"command": "status"}\n'))[0]["ok"]
        await api.stop()

    async def test_live_socket_is_left_unchanged(self, running, services, socket_path):
        second = ApiServer(create_app(services), services, listen=None, socket_path=socket_path)
        with pytest.raises(SocketInUseError):
            await second.start()
        assert (await ask(socket_path, b'{"command": "status"}\n'))[0]["ok"]

    async def test_other_file_is_left_unchanged(self, services, socket_path):
        socket_path.write_text("precious")
        api = ApiServer(create_app(services), services, listen=None, socket_path=socket_path)
        with pytest.raises(OSError, match="not a socket"):
            await api.start()
        assert socket_path.read_text() == "precious"

    async def test_port_in_use_is_reported(self, running, services):
        taken = Endpoint(ip_address("127.0.0.1"), running.port)
        second = ApiServer(create_app(services), services, listen=taken, socket_path=None)
        with pytest.raises(OSError, match="cannot listen on 127"):
            await second.start()


class TestStop:
    async def test_ends_streams_and_idle_connections(self, services, socket_path):
        api = ApiServer(create_app(services), services, listen=LOOPBACK, socket_path=socket_path)
        await api.start()
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: local\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        idle, _ = await asyncio.open_unix_connection(socket_path)
        await asyncio.wait_for(api.stop(), TIMEOUT)
        assert await asyncio.wait_for(idle.read(), TIMEOUT) == b""
        await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.close()

    async def test_installs_no_signal_handlers(self, services):
        before = signal.getsignal(signal.SIGTERM)
        api = ApiServer(create_app(services), services, listen=LOOPBACK, socket_path=None)
        await api.start()
        assert signal.getsignal(signal.SIGTERM) is before
        await api.stop()
