# SPDX-License-Identifier: GPL-3.0-or-later
"""The server reaches a limit, of descriptors or of memory. Tunnels go on, and all the rest does afterwards.

host 1 (a tunnel that pings throughout) ─ v1 ┐
host 2 (connects meanwhile) ───────────── v2 ┴ gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import resource
from itertools import islice
from pathlib import Path

import pytest

from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4, PASSWORD
from lab.timeouts import TIMEOUT, eventually
from lab.traffic.continuous_ping import ContinuousPing

SPARE = 3  # descriptors that the process may still open


@pytest.fixture
def pings(lab):
    """A tunnel that pings. No echo request stays unanswered."""
    server = lab.serve(builtin_limits=False)
    client = server.connect(lab.host())
    client.await_up()
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(5)
    yield server
    pings.await_replies(pings.replies + 5)
    assert pings.missing() == []


def enters(host) -> bool:
    """True if bob logs in and gets a tunnel that answers."""
    try:
        opened = open_tunnel(host, log_in(host, "bob", PASSWORD))
    except OSError:
        return False
    if not isinstance(opened, Tunnel):
        return False
    answered = opened.answers()
    opened.disconnect()
    return answered


def descriptors(pid):
    """Their numbers."""
    return {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}


def limit_of(held, spare):
    """The limit that leaves ``spare`` numbers free below it. Listening sockets have high ones."""
    free = (number for number in range(len(held) + spare + 1) if number not in held)
    return next(islice(free, spare, None))


def test_the_limit_of_descriptors(lab, pings):
    server, host = pings, lab.host()
    pid = server.program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = descriptors(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit_of(held, SPARE), before[1]))
    streams = [host.namespace.connect((SERVER_IPV4, 443)) for _ in range(4 * SPARE)]  # the kernel accepts these
    assert len(descriptors(pid)) <= len(held) + SPARE
    for stream in streams:
        stream.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: enters(host), bool, "a login after the limit", timeout=TIMEOUT)
    eventually(lambda: server.api.call("GET", "/readyz")[0], lambda status: status == 200, "ready")


def test_idle_connections_take_all_descriptors(lab, pings):
    """The connections stay: the oldest silent ones leave, or wait in the kernel. The tunnel is not among them."""
    server, host = pings, lab.host()
    pid = server.program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = descriptors(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit_of(held, SPARE), before[1]))
    streams = [host.namespace.connect((SERVER_IPV4, 443)) for _ in range(50)]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert enters(lab.host())
    for stream in streams:
        stream.close()


def test_the_limit_of_memory(lab, pings):
    """No mapping more for the process, in C or in Python: logins fail, or find room in what it holds."""
    server, host = pings, lab.host()
    pid = server.program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    held = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (held, before[1]))
    try:
        for _ in range(10):
            enters(host)
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    assert server.program.running
    eventually(lambda: enters(host), bool, "a login after the limit", timeout=TIMEOUT)
    eventually(lambda: server.api.call("GET", "/readyz")[0], lambda status: status == 200, "ready")
