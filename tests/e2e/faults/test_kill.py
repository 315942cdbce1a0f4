# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the server and of its helper at random moments of logins, tunnels, blocks and unblocks.

host 1 (logs in, opens tunnels, ends them) ─ v1 ─ gateway 10.77.0.1, `ocsentry serve`

OCSENTRY_KILL_ROUNDS: rounds; a seed names the moments of all.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.processes.resource_usage import process_tree
from lab.server import PASSWORD
from lab.timeouts import eventually

if TYPE_CHECKING:
    from lab.clients.api import Api

ROUNDS = int(os.environ.get("OCSENTRY_KILL_ROUNDS", "10"))
SEED = 20301207
LATEST_STEP = 12  # of a client, at which it is killed


class Client:
    """Logs in, opens a tunnel, blocks, unblocks and disconnects until the server is gone."""

    def __init__(self, host, api: Api, number: int, kept: set[str], gone: set[str]) -> None:
        self._host, self._api, self._number = host, api, number
        self._kept, self._gone = kept, gone  # networks whose block, or unblock, was reported as stored
        self.steps = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                cookie = log_in(self._host, "alice", PASSWORD)
                self.steps += 1
                tunnel = open_tunnel(self._host, cookie)
                assert isinstance(tunnel, Tunnel), tunnel
                assert tunnel.answers()
                self.steps += 1
                self._block_and_unblock()
                tunnel.disconnect()
                self.steps += 1
        except (OSError, EOFError, AssertionError, http.client.HTTPException):
            return  # the server is gone; the checks after its restart tell whether that was all

    def _block_and_unblock(self) -> None:
        network = f"203.0.{self._number}.{self.steps % 256}/32"
        self._gone.discard(network)
        block = self._api.block(network, "kill")
        if block["stored"]:
            self._kept.add(network)
        self.steps += 1
        if self.steps % 8 == 7:  # four steps per tunnel: every second block
            self._kept.discard(network)  # from now on either is right
            status, _ = self._api.call("DELETE", f"/api/v1/blocks/{block['id']}")
            if status == 204:
                self._gone.add(network)


def read_history(server) -> list[dict]:
    return server.api.get("/api/v1/sessions/history?limit=1000")["items"]


def check_records(server, kept: set[str], gone: set[str]) -> None:
    """What was reported as stored is there, and every session has one row. Rows without an end are of sessions that
    were given back, and hold a lease each; they end as others do.
    """
    given_back = {one["id"] for one in server.sessions()}
    assert server.leases() == len(given_back)
    server._end_sessions()
    server.await_sessions(0)
    blocks = {one["cidr"] for one in server.api.get("/api/v1/blocks?limit=1000")["items"]}
    assert kept <= blocks
    assert not gone & blocks
    rows = eventually(lambda: read_history(server), lambda found: all(one["ended_at"] for one in found), "every end")
    assert given_back <= {row["id"] for row in rows}
    assert max(Counter(row["id"] for row in rows).values(), default=1) == 1
    assert all(row["ended_at"] and row["end_reason"] for row in rows)
    assert server.sessions() == []
    assert server.leases() == 0


def kill_server(server, clients: list[Client], step: int) -> None:
    eventually(lambda: max(client.steps for client in clients), lambda steps: steps >= step, f"step {step}")
    server.program.kill()
    for client in clients:
        client.join()
    server.api.close()
    assert not server.network.gateway.has_link("ocs0")
    server.start_again()


def kill_helper(server, clients: list[Client]) -> None:
    """The server goes on, says so, and ends as ever."""
    (helper,) = process_tree(server.program.process.pid)[1:]
    assert b"helper" in Path(f"/proc/{helper}/cmdline").read_bytes()
    os.kill(helper, signal.SIGKILL)
    server.program.await_line("helper_lost")
    before = clients[0].steps
    eventually(lambda: clients[0].steps, lambda steps: steps > before + 2, "more steps of the client")
    assert server.api.call("GET", "/readyz")[0] == 503


def test_a_kill_at_any_moment_loses_no_record_and_leaves_no_ghost(lab):
    chance = random.Random(SEED)
    server = lab.serve(builtin_limits=False, settings={"vpn.limits": {"max_same_clients": 0}})
    host, kept, gone = lab.host(), set[str](), set[str]()
    for number in range(ROUNDS):
        clients = [Client(host, server.api.another(), 2 * number % 250 + one, kept, gone) for one in range(2)]
        if number % 4 == 3:
            kill_helper(server, clients)
        kill_server(server, clients, chance.randint(0, LATEST_STEP))
        check_records(server, kept, gone)
    assert kept
