# SPDX-License-Identifier: GPL-3.0-or-later
"""The wall clock of the whole server jumps: what ends, ends by the monotonic clock, and nothing is lost.

host 1 (a tunnel that pings throughout) ─ v1 ┐
host 2 (logs in after each jump) ──────── v2 ┤
host 3 (blocked throughout) ───────────── v3 ┴ gateway 10.77.0.1, `ocsentry serve` with a shifted wall clock
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime

from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.network import SERVER_IPV4
from lab.processes.shifted_clock import ShiftedClock
from lab.server import INNER_IPV4, OCSENTRY, PASSWORD
from lab.timeouts import TIMEOUT
from lab.traffic.continuous_ping import ContinuousPing

HOUR, DAY = 3600, 86_400
JUMPS = (2 * HOUR, -4 * HOUR, 30 * DAY, -40 * DAY, 10 * DAY, 7)  # before the certificate begins, too
SLACK = 60.0  # seconds that a loaded machine may take between two readings


def is_closed_without_a_byte(host) -> bool:
    with host.namespace.connect((SERVER_IPV4, 443)) as stream:
        stream.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionResetError):
            return stream.recv(1) == b""
    return True


def test_jumps_of_the_wall_clock_end_nothing_early_or_late(lab, tmp_path):
    clock = ShiftedClock(tmp_path)
    server = lab.serve(builtin_limits=False, launcher=(*clock.launcher, OCSENTRY))
    client, other, blocked = server.connect(lab.host()), lab.host(), lab.host()
    client.await_up()
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(5)
    (session,) = server.sessions()
    block = server.api.block(blocked.ipv4, "a test", ttl=HOUR)
    began, shift = time.time(), 0
    for number, jump in enumerate(JUMPS):
        clock.jump(jump)
        shift += jump
        server.api.block(f"203.0.113.{number}", "a change looks at the clocks", ttl=HOUR)
        ends = ends_of_blocks(server)
        assert abs(ends[blocked.ipv4] - (began + shift + HOUR)) < SLACK
        assert is_closed_without_a_byte(blocked)
        opened = open_tunnel(other, log_in(other, "bob", PASSWORD))
        assert isinstance(opened, Tunnel)
        assert opened.answers()
        opened.disconnect()
        _, readiness = server.api.call("GET", "/readyz")
        assert {problem.partition(":")[0] for problem in readiness["problems"]} <= {"certificate"}
        assert session["id"] in {one["id"] for one in server.sessions()}
    pings.await_replies(pings.replies + 5)
    assert pings.missing() == []
    server.api.unblock(block["id"])


def ends_of_blocks(server):
    """Unix times by address."""
    blocks = server.api.get("/api/v1/blocks")["items"]
    return {
        block["cidr"].partition("/")[0]: datetime.fromisoformat(block["expires_at"]).timestamp() for block in blocks
    }
