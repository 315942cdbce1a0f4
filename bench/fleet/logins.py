# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins to an open tunnel: how many, what they cost servers and database, and how long one takes alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import load_client
from bench.workload import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.fleet.setups import Setup

THREADS = 12  # of all clients together
NAME = "logins to an open tunnel"


def logins(setup: Setup, seconds: float) -> Iterator[Sample]:
    """All nodes at once, each by its own clients. Client, nodes and database share the processors."""
    servers, database = setup.cpu(), setup.database_cpu()
    started = [
        load_client.start(
            "login",
            host.namespace,
            setup,
            threads=THREADS // len(setup.hosts),
            amount=seconds,
            more=setup.logins_of_all,
        )
        for host in setup.hosts
    ]
    done = [load_client.result_of(one, seconds + load_client.SLACK) for one in started]
    setup.settle()  # releases and the journal's rows follow the answer
    count = sum(one.count for one in done)
    yield Sample(NAME, "per second", sum(one.count / one.seconds for one in done), more_is_better=True)
    yield Sample(f"{NAME}: servers' CPU each", "ms", 1e3 * (setup.cpu() - servers) / max(1, count))
    if setup.database is not None:
        yield Sample(f"{NAME}: PostgreSQL's CPU each", "ms", 1e3 * (setup.database_cpu() - database) / max(1, count))
    if failed := sum(one.failed for one in done):
        yield Sample(f"{NAME}: failed", "", failed)


def waits(setup: Setup, seconds: float) -> Iterator[Sample]:
    """One client after another, on one node."""
    host, before = setup.hosts[0], setup.cpu()
    done = load_client.run("login", host.namespace, setup, threads=1, seconds=seconds, more=setup.logins_of_all)
    setup.settle()
    yield Sample("a login, one at a time, p50", "ms", 1e3 * done.p50)
    yield Sample("a login, one at a time, p99", "ms", 1e3 * done.p99)
    yield Sample("a login, one at a time: servers' CPU", "ms", 1e3 * (setup.cpu() - before) / max(1, done.count))


def idle(setup: Setup, seconds: float) -> Iterator[Sample]:
    """Without any client: beats, and what every server does."""
    setup.settle()
    servers, database = setup.cpu(), setup.database_cpu()
    spent = _measured_sleep(seconds)
    yield Sample("an idle node: share of a core", "%", 100 * (setup.cpu() - servers) / len(setup.servers) / spent)
    if setup.database is not None:
        share = 100 * (setup.database_cpu() - database) / len(setup.servers) / spent
        yield Sample("an idle node: share of a core of PostgreSQL", "%", share)


def _measured_sleep(seconds: float) -> float:
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began
