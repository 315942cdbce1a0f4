# SPDX-License-Identifier: GPL-3.0-or-later
"""From a block on one node until a tunnel of another is cut, with notifications and without."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

import psycopg

from bench.fleet.setups import PASSWORD, USER
from bench.workload import Sample
from lab.clients.cstp_client import DISCONNECT, Tunnel, log_in, open_tunnel
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.fleet.setups import Setup

NOTIFY = "PERFORM pg_notify('fleet', r::text);"


def propagation(setup: Setup, samples: int) -> Iterator[Sample]:
    """``samples`` blocks each way. The other node's client has its word when the DISCONNECT has arrived."""
    yield from _blocks(setup, samples, "a block until a tunnel of another node is cut")
    silence_notifications(setup)
    yield from _blocks(setup, samples, "the same, all notifications lost")


def _blocks(setup: Setup, samples: int, name: str) -> Iterator[Sample]:
    cuts, answers = zip(*(_one_block(setup) for _ in range(samples)), strict=True)
    for label, values in ((name, cuts), (f"{name}: answer with wait=all", answers)):
        cut = statistics.quantiles(values, n=100, method="inclusive")
        yield Sample(f"{label}, p50", "ms", 1e3 * cut[49])
        yield Sample(f"{label}, p99", "ms", 1e3 * cut[98])


def _one_block(setup: Setup) -> tuple[float, float]:
    """Returns seconds until the cut, and until the answer that all nodes have it."""
    first, last, host = setup.servers[0], setup.servers[-1], setup.hosts[-1]
    tunnel = open_tunnel(host, log_in(host, USER, PASSWORD))
    assert isinstance(tunnel, Tunnel), tunnel
    seen: list[float] = []
    reader = threading.Thread(target=_await_disconnect, args=(tunnel, seen))
    reader.start()
    began = time.monotonic()
    body = {"cidr": host.ipv4, "reason": "Measured", "ttl": 600}
    made = first.api.expect(201, "POST", "/api/v1/blocks?wait=all&timeout=10", body)
    answered = time.monotonic()
    reader.join(TIMEOUT)
    assert seen, "the tunnel was not cut"
    tunnel.stream.close()
    first.api.unblock(made["id"])
    eventually(lambda: last.api.get("/api/v1/blocks")["items"], lambda found: not found, "lifted on the last node")
    return seen[0] - began, answered - began


def _await_disconnect(tunnel: Tunnel, seen: list[float]) -> None:
    while tunnel.receive()[0] != DISCONNECT:
        pass
    seen.append(time.monotonic())


def silence_notifications(setup: Setup) -> None:
    """Have changes published without a notification from now on, as behind a pooler that passes none on."""
    assert setup.database is not None
    with psycopg.connect(setup.database.url.replace("+psycopg", ""), autocommit=True) as connection:
        find = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE prosrc LIKE %s"
        definitions = [row[0] for row in connection.execute(find, (f"%{NOTIFY}%",))]
        assert definitions, "nothing publishes with a notification"
        for definition in definitions:
            connection.execute(definition.replace(NOTIFY, ""))
