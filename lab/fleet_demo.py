# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo-fleet``: three nodes, PostgreSQL and a real client on this machine, and what one node does for another.

Needs root. The nodes and the client are in namespaces of their own, which end with the program.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lab.fleet import FLEET_NAME, FleetLab, make_fleet_template
from lab.namespaces import Claim
from lab.network import Network
from lab.server import INNER_IPV4
from lab.services.postgresql import running_postgresql
from lab.timeouts import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.clients.openconnect import OpenConnect
    from lab.server import Server

NAMES = ("n1", "n2", "n3")
REASON = "demo: scans"
TOLD = re.compile(r"disconnect: *(?:[0-9a-f]{2} *)?'?(.*?)'?$")


class Demo:
    """The steps, in their order. ``tell`` shows a line."""

    def __init__(self, fleet: FleetLab, network: Network, tell: Callable[[str], None]) -> None:
        self._fleet, self._tell = fleet, tell
        self._nodes = [fleet.add_node(name) for name in NAMES]
        self._host = network.add_host()
        fleet.wire(self._host)

    def show_nodes(self) -> None:
        self._tell("1  Three nodes share one PostgreSQL. ocsentry nodes list, on n1:\n")
        self._tell(self._nodes[0].cli("nodes"))

    def block_on_another_node(self) -> None:
        n1, n2, n3 = self._nodes
        client = self._connect()
        self._tell(f"3  n2 is told to block {self._host.ipv4}. Her tunnel is on n1.")
        began = time.monotonic()
        body = {"cidr": self._host.ipv4, "reason": REASON, "ttl": 300}
        block = n2.api.expect(201, "POST", "/api/v1/blocks?wait=all&timeout=10", body)
        line = client.await_line(REASON)
        client.await_exit()
        told = TOLD.search(line.text)
        self._tell(f"   After {_milliseconds(line.at - began)} n1 has cut it. The client was told:")
        self._tell(f"   {told[1] if told else line.text}")
        self._tell("   The block is in force on {} of {} nodes. n3 lifts it again.\n".format(*block["applied"]))
        n3.api.unblock(block["id"])
        eventually(lambda: n1.api.get("/api/v1/blocks")["items"], lambda found: not found, "lifted on n1")

    def kill_a_node(self) -> None:
        n1, *others = self._nodes
        client = self._connect()
        (before,) = n1.sessions()
        seen = len(client.lines)
        self._tell("5  n1 is killed (SIGKILL).")
        began = time.monotonic()
        n1.program.kill()
        back = client.await_reconnected(since=seen)
        (found,) = eventually(lambda: _sessions_of(others), lambda found: len(found) == 1, "the session on one node")
        node, session = found
        same = "the same" if (session["id"], session["ipv4"]) == (before["id"], before["ipv4"]) else "ANOTHER"
        self._tell(f"   After {_milliseconds(back.at - began)} the client is on {node}, by itself and without a login:")
        self._tell(f"   {same} session, inner address {session['ipv4']}. Ping through the tunnel: {_ping(client)}.\n")
        client.goodbye()
        assert same == "the same"

    def show_what_is_left(self) -> None:
        self._tell("6  ocsentry nodes list, on n2 (n1 is dead once it has been silent for 10 s):\n")
        self._tell(self._nodes[1].cli("nodes"))

    def _connect(self) -> OpenConnect:
        step = 2 if self._nodes[0].api.get("/api/v1/sessions/history")["items"] == [] else 4
        client = self._fleet.connect_by_name(self._nodes[0], self._host, "--disable-ipv6")
        ipv4 = client.await_up().ipv4
        self._nodes[0].await_sessions(1)
        self._tell(f"{step}  alice connects with openconnect to {FLEET_NAME}, which has the addresses of all nodes.")
        self._tell(f"   She is on n1, with the inner address {ipv4}. Ping through the tunnel: {_ping(client)}.\n")
        return client


def run_demo(tell: Callable[[str], None]) -> None:
    """Raises ``AssertionError`` or ``RuntimeError`` if something is not as it tells. Leaves nothing behind."""
    with ExitStack() as made:
        folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="ocs-fleet-")))
        claim = Claim()
        made.callback(claim.release)
        network = Network(claim)
        made.callback(network.close)
        database = made.enter_context(running_postgresql())
        made.callback(_end_programs, network)
        template = make_fleet_template(folder / "template", database.url, ["alice"])
        demo = Demo(FleetLab(network, claim, template, folder, database), network, tell)
        demo.show_nodes()
        demo.block_on_another_node()
        demo.kill_a_node()
        demo.show_what_is_left()
    tell("All nodes, networks and the database are gone again.")


def _sessions_of(nodes: list[Server]) -> list[tuple[str, dict[str, str]]]:
    names = NAMES[-len(nodes) :]
    return [(name, session) for name, node in zip(names, nodes, strict=True) for session in node.sessions()]


def _ping(client: OpenConnect) -> str:
    return "answered" if client.ping(INNER_IPV4) else "no answer"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _end_programs(network: Network) -> None:
    for program in network.programs:
        if program.running:
            program.kill()


if __name__ == "__main__":
    run_demo(lambda line: print(line, file=sys.stdout, flush=True))
