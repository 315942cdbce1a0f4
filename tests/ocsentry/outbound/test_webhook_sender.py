# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to receivers of webhooks: where they may go, and what a receiver cannot do to the server."""

from __future__ import annotations

import asyncio
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest

from ocsentry.outbound.webhook_sender import WHOLE, HttpWebhookSender

pytestmark = pytest.mark.asyncio
LOOPBACK = [ip_network("127.0.0.0/8")]


class Receiver:
    """A web server that takes deliveries."""

    def __init__(self):
        self.status, self.headers, self.requests = 204, {}, []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


async def test_a_delivery(receiver):
    answer = await HttpWebhookSender(LOOPBACK).send(receiver.url, {"webhook-id": "1"}, b'{"a": 1}')
    assert answer.status == 204
    ((path, headers, body),) = receiver.requests
    assert (path, body) == ("/hook?x=1", b'{"a": 1}')
    assert (headers["Content-Type"], headers["webhook-id"]) == ("application/json", "1")
    assert headers["Host"] == f"127.0.0.1:{receiver.server.server_port}"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fe80::1%2", "fd00::1", "::ffff:127.0.0.1"],
)
async def test_inner_addresses_are_refused(receiver, address):
    sender = HttpWebhookSender(resolver=lambda *_: [address])
    with pytest.raises(OSError, match=r"not public, and not in admin\.webhook_networks"):
        await sender.send(receiver.url.replace("127.0.0.1", "hooks.example.org"), {}, b"{}")
    assert receiver.requests == []


async def test_an_address_in_the_url_is_no_exception(receiver):
    with pytest.raises(OSError, match="not public"):
        await HttpWebhookSender().send(receiver.url, {}, b"{}")
    assert receiver.requests == []


async def test_redirects_are_not_followed(receiver):
    receiver.status, receiver.headers = 307, {"Location": "/elsewhere"}
    assert (await HttpWebhookSender(LOOPBACK).send(receiver.url, {}, b"{}")).status == 307
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("text", "seconds"), [("120", 120.0), ("-1", None), ("Wed, 21 Oct 2030 07:28:00 GMT", None)])
async def test_the_wait_that_a_receiver_asks_for(receiver, text, seconds):
    receiver.status, receiver.headers = 503, {"Retry-After": text}
    assert (await HttpWebhookSender(LOOPBACK).send(receiver.url, {}, b"{}")).retry_after == seconds


async def test_a_receiver_that_is_away():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(OSError, match="refused"):
            await HttpWebhookSender(LOOPBACK).send(url, {}, b"{}")


async def test_a_receiver_without_an_answer_ends_at_the_deadline():
    """The clock passes the deadline once the request is on its way."""
    moments = iter([0.0, 0.0, 0.0])
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        sender = HttpWebhookSender(LOOPBACK, clock=lambda: next(moments, WHOLE))
        with pytest.raises(OSError, match="not complete after 15 seconds"):
            await sender.send(url, {}, b"{}")


async def test_a_caller_that_leaves_does_not_wait_for_the_receiver():
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    hold = threading.Event()

    def resolve(*_):
        loop.call_soon_threadsafe(asked.set)
        hold.wait()
        return ["127.0.0.1"]

    task = asyncio.create_task(HttpWebhookSender(resolver=resolve).send("http://hooks.example.org/", {}, b"{}"))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hold.set()


async def test_an_answer_that_is_no_http():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer():
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"\x00\x01 not http\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(OSError, match=r"\w"):
            await HttpWebhookSender(LOOPBACK).send(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"{}")
        thread.join()
