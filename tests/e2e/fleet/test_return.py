# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients of one node go on at another: when an operator drains it, and when it is killed.

The clients are given a name with the addresses of both nodes, as DNS has it: see lab/fleet.py.

OCSENTRY_FLEET_SESSIONS: clients (200 before a release).
"""

from __future__ import annotations

import os
import time
from collections import Counter

from lab.clients.tunnels import Tunnels, counters_after, counters_of
from lab.timeouts import TIMEOUT, eventually, time_limit

SESSIONS = int(os.environ.get("OCSENTRY_FLEET_SESSIONS", "6"))
BACK_SECONDS = 5.0  # after a kill
PATIENCE = 900  # seconds
SETTINGS = {
    "vpn": {"dtls": True},
    "vpn.limits": {"max_same_clients": 0},
    "vpn.session": {"dpd": 10, "cookie_timeout": PATIENCE},
}


def by_address(node):
    found = node.api.get("/api/v1/sessions?local=true&limit=1000")["items"]
    return {one["ipv4"]: one["id"] for one in found}


def test_clients_leave_a_node_that_drains_and_one_that_is_killed_without_a_login(fleet, lab):
    a, b = (fleet.add_node(name, builtin_limits=False, settings=SETTINGS) for name in "ab")
    host = lab.host()
    fleet.wire(host)
    connect = {"reconnect_timeout": PATIENCE}
    tunnels = Tunnels(
        host, SESSIONS, lambda dtls: fleet.connect_by_name(a, host, "--disable-ipv6", dtls=dtls, **connect)
    )
    tunnels.ping_all()
    before = by_address(a)
    assert len(before) == SESSIONS

    since = tunnels.seen()
    a.cli("nodes", "drain", "a")
    tunnels.await_back(since)
    assert by_address(b) == before
    a.await_sessions(0)
    tunnels.ping_all()
    found = b.api.get("/api/v1/sessions?local=true&limit=1000")["items"]
    assert {counters_of(one["counters"]) for one in found} == {counters_after(2)}, "each byte once"

    a.cli("nodes", "resume", "a")
    await_listening(host, a)
    since, killed = tunnels.seen(), time.monotonic()
    b.program.kill()
    took = tunnels.await_back(since) - killed
    print(f"{SESSIONS} clients of a killed node are back after {took:.2f} s")
    assert took < time_limit(BACK_SECONDS)
    assert by_address(a) == before
    tunnels.ping_all()
    tunnels.goodbye()
    a.await_sessions(0)
    rows = eventually(
        lambda: a.api.get("/api/v1/sessions/history?limit=1000")["items"],
        lambda rows: all(row["ended_at"] for row in rows),
        "an end in each row",
    )
    assert Counter(row["id"] for row in rows) == Counter(before.values())
    assert {row["end_reason"] for row in rows} == {"user_disconnect"}
    # Of a killed node the last minute of counters may be lost. Nothing is counted twice.
    assert {counters_of(row) for row in rows} <= {counters_after(2), counters_after(3)}


def await_listening(host, node):
    def refused():
        try:
            host.namespace.connect(("10.77.100.1", 443), timeout=TIMEOUT).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, lambda seen: not seen, "listening again")
