# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the database is full: a tmpfs of one MiB in a mount namespace of the server.

host 1 (a tunnel that pings throughout) ─ v1 ┐
host 2 (blocked while the disk is full) ─ v2 ┼ gateway 10.77.0.1, `ocsentry serve`
host 3 (logs in while the disk is full) ─ v3 ┘
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest

from lab.server import INNER_IPV4, OCSENTRY
from lab.timeouts import eventually
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import ProbeResult, probe

STORE = 'mkdir -p store && mount -t tmpfs -o size=1m none store && cp ocsentry.db store && exec "$@"'
LAUNCHER = ("unshare", "--mount", "sh", "-c", STORE, "sh", OCSENTRY)
REASON = "x" * 200


@pytest.fixture
def server(lab):
    return lab.serve(launcher=LAUNCHER, settings={"store": {"url": "sqlite:///store/ocsentry.db"}})


def fill(server) -> Path:
    """Fill the disk. Returns the file to remove. The folder is seen through the server's process."""
    filler = Path(f"/proc/{server.program.process.pid}/root{server.folder}/store/filler")
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def block_until_not_stored(server) -> dict[str, object]:
    """Block networks until the log of the database has no room left within its file."""
    for number in range(2000):
        answer = server.api.block(f"203.0.{number // 256}.{number % 256}", REASON)
        if not answer["stored"]:
            return answer
    raise AssertionError("the disk was never full")


def test_a_full_disk_holds_up_no_block_no_login_and_no_tunnel(lab, server):
    first, blocked, later = lab.host(), lab.host(), lab.host()
    client = server.connect(first)
    client.await_up()
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(3)
    assert probe(blocked) is ProbeResult.HANDSHAKE
    filler = fill(server)
    block_until_not_stored(server)
    block = server.api.block(blocked.ipv4, REASON)
    assert not block["stored"]
    assert probe(blocked) is ProbeResult.CLOSED
    eventually(lambda: server.api.call("GET", "/readyz")[0], lambda status: status == 503, "not ready")
    assert any(problem.startswith("store: ") for problem in server.api.call("GET", "/readyz")[1]["problems"])
    another = server.connect(later, user="bob")
    another.await_up()
    filler.unlink()
    eventually(lambda: server.api.get("/api/v1/status"), lambda now: now["blocks_not_stored"] == 0, "all blocks stored")
    eventually(lambda: server.api.call("GET", "/readyz")[0], lambda status: status == 200, "ready")
    assert server.api.get(f"/api/v1/blocks/{block['id']}")["stored"]
    eventually(lambda: history(server), lambda users: users == {"alice", "bob"}, "a record of each session")
    pings.await_replies(pings.replies + 3)
    assert pings.missing() == []


def history(server) -> set[str]:
    return {row["user"] for row in server.api.get("/api/v1/sessions/history")["items"]}


def test_the_disk_is_really_full(server):
    """The other test would pass on a disk that fill() does not fill."""
    filler = fill(server)
    with pytest.raises(OSError, match="No space left") as error:
        filler.with_name("more").write_bytes(bytes(4096))
    assert error.value.errno == errno.ENOSPC
    filler.unlink()
