# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions outlive the server's process: clients come back by themselves after a restart, and after kill -9.

host 1 (openconnect, several times) ── gateway 10.77.0.1, `ocsentry serve` under a service manager

OCSENTRY_RETURNING: tunnels (200 before a release).
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

import pytest

from lab.clients.tunnels import Tunnels, counters_after, counters_of
from lab.processes import service_manager
from lab.server import OCSENTRY
from lab.timeouts import TIMEOUT, eventually

TUNNELS = int(os.environ.get("OCSENTRY_RETURNING", "10"))
LAUNCHER = (sys.executable, service_manager.__file__, OCSENTRY)
PATIENCE = 900  # seconds; a busy machine once took 68 to start the next process
SETTINGS = {"vpn": {"dtls": True}, "vpn.limits": {"max_same_clients": 0}, "vpn.session": {"cookie_timeout": PATIENCE}}


def process_of(server) -> int:
    """The process id of the newest server."""
    lines = [line.text for line in server.program.lines if line.text.startswith("service manager: process")]
    return int(lines[-1].split()[3])


def sessions_by_address(server) -> dict[str, dict]:
    found = server.api.get("/api/v1/sessions?limit=1000")["items"]
    return {one["ipv4"]: one for one in found}


def history(server) -> list[dict]:
    return server.api.get("/api/v1/sessions/history?limit=1000")["items"]


def restart(server, way: str) -> float:
    """Returns when the process ended, once the next one serves."""
    seen = len(server.program.lines)
    if way == "kill":
        os.kill(process_of(server), signal.SIGKILL)
    else:
        server.program.signal(signal.SIGUSR1)
    server.api.close()
    server.program.await_line(r'"event": ?"ready"', 4 * TIMEOUT, since=seen)
    return server.program.await_line("service manager: process", since=seen).at


@pytest.mark.parametrize("way", ["restart", "kill"])
def test_clients_come_back_without_a_login_and_every_byte_is_counted_once(lab, way):
    server = lab.serve(launcher=LAUNCHER, builtin_limits=False, settings=SETTINGS)
    host = lab.host()
    options = {"reconnect_timeout": PATIENCE}
    tunnels = Tunnels(host, TUNNELS, lambda dtls: server.connect(host, "--disable-ipv6", dtls=dtls, **options))
    tunnels.ping_all()
    before = sessions_by_address(server)
    assert {counters_of(one["counters"]) for one in before.values()} == {counters_after(1)}
    since = tunnels.seen()
    ended_at = restart(server, way)
    print(f"{TUNNELS} tunnels back {tunnels.await_back(since) - ended_at:.2f} s after the {way}")
    after = sessions_by_address(server)
    assert {address: one["id"] for address, one in after.items()} == {a: one["id"] for a, one in before.items()}
    assert all(one["state"] == "connected" for one in after.values())
    tunnels.ping_all()
    tunnels.goodbye()
    server.await_sessions(0)
    rows = eventually(
        lambda: history(server), lambda found: all(one["ended_at"] for one in found), "an end in each row"
    )
    assert Counter(row["id"] for row in rows) == Counter(one["id"] for one in before.values())
    assert {row["end_reason"] for row in rows} == {"user_disconnect"}
    assert {counters_of(row) for row in rows} == {counters_after(2)}
    logins = [line for line in server.program.lines if '"login_accepted"' in line.text]
    assert len(logins) == TUNNELS
