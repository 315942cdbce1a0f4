# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes on one PostgreSQL, each in a network of its own with real clients.

host 1 10.77.1.2 ── gateway of network 1, node n1 ─┐
                                                   ├─ PostgreSQL, by a Unix socket
host 1 10.77.1.2 ── gateway of network 2, node n2 ─┘
"""

from __future__ import annotations

import json

import pytest

from lab.clients.api import Api
from lab.namespaces import Claim
from lab.network import Network
from lab.server import INNER_IPV4, PASSWORD
from lab.services.postgresql import running_postgresql
from lab.timeouts import eventually, time_limit
from tests.e2e.conftest import Lab

CUT_SECONDS = 1.0  # from the answer to the block until another node's client is told


@pytest.fixture
def fleet(claim, template, tmp_path):
    """Two labs, each with one running node."""
    other = Claim()
    secret = tmp_path / "fleet.secret"
    secret.touch(mode=0o600)
    secret.write_text("5a" * 32)
    with running_postgresql() as store:
        labs = []
        try:
            for number, names in enumerate((claim, other), 1):
                lab = Lab(Network(names), template, tmp_path / f"node{number}")
                labs.append(lab)
                node = {"name": f"n{number}", "secret_file": str(secret)}
                lab.serve(settings={"store": {"url": store.url}, "fleet": node})
            first = labs[0].servers[0]
            first.cli("user", "add", "alice", "--password-stdin", stdin=PASSWORD + "\n")
            token = json.loads(first.cli("token", "create", "lab", "--json"))["token"]
            for lab in labs:
                (server,) = lab.servers
                server.api = Api(lab.network.gateway, token)
            yield labs
        finally:
            for lab in labs:
                lab.take_down()
            other.release()


def test_a_block_on_one_node_cuts_a_tunnel_of_another_and_a_changed_user_too(fleet):
    (first,), (second,) = (lab.servers for lab in fleet)
    host = fleet[1].host()
    client = second.connect(host)
    client.await_up()
    assert host.namespace.run("ping", "-c1", "-W5", INNER_IPV4)
    began = first.api.block(host.ipv4, "seen on n1", ttl=600)
    assert began["sessions_cut"] == 0, "the session is another node's"
    client.await_line("seen on n1", timeout=time_limit(CUT_SECONDS))
    second.await_sessions(0)
    (block,) = second.api.get("/api/v1/blocks")["items"]
    assert block["id"] == began["id"]
    second.api.unblock(block["id"])
    eventually(lambda: first.api.get("/api/v1/blocks")["items"], lambda found: not found, "lifted on n1 too")

    client = second.connect(host)
    client.await_up()
    first.cli("user", "disable", "alice")
    second.await_sessions(0)
    assert second.api.get("/readyz")["status"] == "ready"
