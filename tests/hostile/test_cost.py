# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer without a login makes the server spend: processor time of one request, memory of one connection.

OCSENTRY_COST_REQUESTS: how often each request is sent. Processor time, unlike duration, is the server's own on a busy
machine as well; what the tunnels that ping cost meanwhile is in it.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from lab.clients.cstp_client import Tunnel, open_tunnel
from lab.timeouts import STRICT
from lab.traffic.probes import drain, open_tls
from tests.hostile.test_http import REFUSED, get, post
from tests.hostile.test_login import DOCUMENTS
from vpn_frontend.protocol.constants import MAX_HEAD

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS = int(os.environ.get("OCSENTRY_COST_REQUESTS", "3"))
MOST = 0.010  # seconds of one request with its connection's handshake, on an idle machine
DEARER = 6.0  # times as dear as a login with its tunnel; measured: 0.5 to 1.6
LINKS, LINK = 300, 64 << 10  # connections, bytes of each


def spent(arena) -> float:
    """Seconds of processor time of the server's threads."""
    tasks = Path(f"/proc/{arena.server.program.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def cost(arena, act: Callable[[], None]) -> float:
    """Seconds of processor time of ``act``, the least of ``REQUESTS``: other work of the server only adds to it."""
    seconds = []
    for _ in range(REQUESTS):
        before = spent(arena)
        act()
        seconds.append(spent(arena) - before)
    return min(seconds)


def ask(arena, data: bytes) -> None:
    """One request on a connection of its own, up to the server's close."""
    with open_tls(arena.attacker) as stream, suppress(OSError):
        stream.sendall(data)
        socket.socket.shutdown(stream, socket.SHUT_WR)
        drain(stream)


def log_in_and_out(arena) -> None:
    opened = open_tunnel(arena.attacker, arena.cookie())
    assert isinstance(opened, Tunnel), opened
    assert opened.answers()
    opened.disconnect()


def document(text: str | bytes) -> bytes:
    body = text if isinstance(text, bytes) else text.encode()
    return post(b"Content-Length: %d" % len(body), b"Connection: close", body=body)


def test_no_request_costs_much_more_than_a_good_one(arena, record_property):
    for _ in range(3):
        log_in_and_out(arena)  # its password is remembered from now on
    login = cost(arena, lambda: log_in_and_out(arena))
    page = cost(arena, lambda: ask(arena, get(b"/", b"Connection: close")))
    requests = {**REFUSED, **{name: document(text) for name, text in DOCUMENTS.items()}}
    # A name that no user has costs a password's hash on purpose, of which only a few may run: not of these.
    costs = {name: cost(arena, lambda data=data: ask(arena, data)) for name, data in requests.items()}
    arena.end_sessions()
    dearest = sorted(costs, key=lambda name: costs[name])[-3:]
    figures = {"login and tunnel": login, "page": page, "median": median(costs.values())}
    figures |= {name: costs[name] for name in dearest}
    record_property("milliseconds", {name: round(1e3 * seconds, 3) for name, seconds in figures.items()})
    for name in dearest:
        assert not STRICT or costs[name] < MOST, (name, figures)
        assert costs[name] < DEARER * login, (name, figures)


UNFINISHED = {
    "a silent connection": b"",
    "a head": get(b"/", b"X: " + b"a" * (MAX_HEAD - 100))[:-2],
    "a body": post(
        *[b"X-%d: " % number + b"a" * 67 for number in range(90)], b"Content-Length: 28000", body=b"b" * 27_999
    ),
}


@pytest.mark.parametrize("data", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_a_connection_that_asks_nothing_holds_little(arena, record_property, data):
    with ExitStack() as held:
        warm = [held.enter_context(open_tls(arena.attacker)) for _ in range(20)]
        for stream in warm:
            stream.sendall(data)
        arena.server.api.call("GET", "/healthz")
        before = arena.memory()
        for _ in range(LINKS):
            stream = held.enter_context(open_tls(arena.attacker))
            for start in range(0, len(data), 1400):
                stream.sendall(data[start : start + 1400])
        arrived(arena)
        link = (arena.memory() - before) / LINKS
        record_property("bytes of a connection", round(link))
        assert link < LINK, link


def arrived(arena) -> None:
    """Returns once the server has read what was sent before: it answers another client after that, on each worker."""
    for _ in range(8):
        ask(arena, get(b"/", b"Connection: close"))
