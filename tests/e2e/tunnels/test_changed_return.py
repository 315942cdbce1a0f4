# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed while no server ran is asked when clients come back: with PostgreSQL, and with a full disk.

host n (openconnect) ── vn ── gateway 10.77.0.1, `ocsentry serve` under a service manager, and under what runs before it
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lab.processes import service_manager
from lab.server import OCSENTRY
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT, eventually

PATIENCE = 900  # seconds; a busy machine once took 68 to start the next process
SETTINGS = {"vpn.session": {"cookie_timeout": PATIENCE}, "groups.night": {"dns": ["9.9.9.9"]}}
# Each process of the server runs `next` before, if there is one, and only once.
BEFORE = 'if [ -e next ]; then mv next done && sh -e ./done; fi; exec "$@"'
MANAGER = (sys.executable, service_manager.__file__)
LAUNCHER = (*MANAGER, "sh", "-ec", BEFORE, "sh", OCSENTRY)


@pytest.fixture
def database():
    """Asked for before ``lab``, it outlives the server."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def before(tmp_path):
    """Has the next process of the server run commands of the command line first, while no server runs."""
    folder = tmp_path / "server0"
    folder.mkdir()

    def write(*commands):
        program = f"{OCSENTRY} {{}} --config {folder}/ocsentry.toml"
        (folder / "next").write_text("\n".join(map(program.format, commands)))

    return write


def crash(server) -> int:
    """Returns the number of lines before. The next process serves."""
    seen = len(server.program.lines)
    started = [line.text for line in server.program.lines if line.text.startswith("service manager: process")]
    os.kill(int(started[-1].split()[3]), signal.SIGKILL)
    server.api.close()
    server.program.await_line(r'"event": ?"ready"', 4 * TIMEOUT, since=seen)
    return seen


def connected(lab, server, *users):
    clients = [server.connect(lab.host(), user=user, reconnect_timeout=PATIENCE) for user in users]
    for client in clients:
        client.await_up()
    return clients


def sessions(server):
    return {one["user"]: one for one in server.api.get("/api/v1/sessions")["items"]}


def test_account_and_group_of_today_count_at_a_return(database, lab, before):
    before(f"db copy sqlite:///ocsentry.db '{database.url}'")
    server = lab.serve(launcher=LAUNCHER, settings={**SETTINGS, "store": {"url": database.url}})
    alice, bob, carol = connected(lab, server, "alice", "bob", "carol")
    then = sessions(server)
    history = "/api/v1/sessions/history"  # rows of the store: what is not in it yet, a crash loses
    eventually(lambda: len(server.api.get(history)["items"]), lambda stored: stored == 3, "stored sessions")
    before("user disable bob", "user set carol groups=night")
    crash(server)
    for client in (alice, carol):
        client.await_reconnected(4 * TIMEOUT)
    assert bob.await_exit(4 * TIMEOUT) != 0
    assert bob.find("Cookie was rejected by server")
    now = sessions(server)
    assert {user: one["id"] for user, one in now.items()} == {user: then[user]["id"] for user in ("alice", "carol")}
    assert now["carol"]["network"]["dns"] == ["9.9.9.9"]
    assert now["alice"]["network"]["dns"] == then["alice"]["network"]["dns"] != ["9.9.9.9"]
    ended = server.api.get("/api/v1/sessions/history?user=bob")["items"]
    assert [(row["id"], row["end_reason"]) for row in ended] == [(then["bob"]["id"], "policy")]


DISK = 'mkdir -p store && mount -t tmpfs -o size=1m none store && cp ocsentry.db store && exec "$@"'


def test_clients_come_back_while_the_disk_of_the_database_is_full(lab):
    launcher = ("unshare", "--mount", "sh", "-c", DISK, "sh", *MANAGER, OCSENTRY)
    store = {"store": {"url": "sqlite:///store/ocsentry.db"}}
    server = lab.serve(launcher=launcher, settings={**SETTINGS, **store})
    (client,) = connected(lab, server, "alice")
    then = sessions(server)
    filler = Path(f"/proc/{server.program.process.pid}/root{server.folder}/store/filler")
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    crash(server)
    client.await_reconnected(4 * TIMEOUT)
    assert sessions(server)["alice"]["id"] == then["alice"]["id"]
    assert client.ping("192.168.99.1") == 1.0
    filler.unlink()
    client.goodbye()
    history = "/api/v1/sessions/history?user=alice"
    eventually(lambda: server.api.get(history)["items"], lambda rows: rows[0]["ended_at"], "an end in the row")
