# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the walk-through in docs/fleet.md: three nodes, two balancers, three databases, each on its own machine.

OCSENTRY_FLEET_WALKTHROUGH: runs it. It takes minutes, and haproxy, keepalived, patroni and etcd of Debian.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from lab.clients.openconnect import OpenConnect
from lab.fleet import make_fleet_template
from lab.lan import Lan, as_host
from lab.server import INNER_IPV4, PASSWORD, Server
from lab.services.balancers import ADDRESS, await_answer, holder, start_balancers
from lab.services.patroni import DatabaseCluster
from lab.timeouts import eventually
from lab.traffic.continuous_ping import ContinuousPing

pytestmark = pytest.mark.skipif(
    not os.environ.get("OCSENTRY_FLEET_WALKTHROUGH"), reason="takes minutes; see the module"
)
USERS = ("alice", "bob")


class Site:
    def __init__(self, claim, folder):
        self.lan = Lan(claim)
        self.databases = [self.lan.add(f"db{number}", 30 + number) for number in (1, 2, 3)]
        self.balancers = [self.lan.add(f"lb{number}", 10 + number) for number in (1, 2)]
        machines = [self.lan.add(f"n{number}", 20 + number) for number in (1, 2, 3)]
        self.clients = [self.lan.add(f"c{number}", 200 + number) for number in (1, 2, 3)]
        self.database = DatabaseCluster(self.databases, folder)
        self.database.make_database()
        with machines[0].namespace.entered():
            self.template = make_fleet_template(folder / "template", self.database.url, USERS)
        self.nodes = [self.serve(machine, folder) for machine in machines]
        start_balancers(self.balancers, machines, folder)
        eventually(lambda: holder(self.balancers), lambda found: found is self.balancers[0], "the address on lb1")
        await_answer(self.clients[0])

    def serve(self, machine, folder):
        settings = {
            "store": {"url": self.database.url},
            "fleet": {"name": machine.name, "secret_file": "fleet.secret", "dead_after": 10},
            "vpn": {"proxy_from": [balancer.ipv4 for balancer in self.balancers]},
            "vpn.session": {"dpd": 10, "cookie_timeout": 300},
        }
        return Server(machine, folder / machine.name, self.template, settings=settings)

    def connect(self, machine, user):
        pin = self.template.certificate.pin
        how = {"server": ADDRESS, "reconnect_timeout": 300}
        client = OpenConnect(as_host(machine), "--disable-ipv6", pin=pin, user=user, password=PASSWORD, **how)
        self.lan.programs.append(client)
        return client

    def node_of(self, user):
        """Which node lists the user's session, and the session."""
        found = [(node, one) for node in self.nodes if node.program.running for one in node.sessions()]
        return next(((node, one) for node, one in found if one["user"] == user), None)


@pytest.fixture
def site(claim):
    with tempfile.TemporaryDirectory(prefix="ocs-site-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Site(claim, folder)
        yield made
        made.lan.close()


def test_a_live_tunnel_outlives_the_primary_a_balancer_and_a_node(site):
    client = site.connect(site.clients[0], "alice")
    inner = client.await_up().ipv4
    node, session = eventually(lambda: site.node_of("alice"), lambda found: found, "alice on a node")
    assert session["address"] == site.clients[0].ipv4, "the PROXY header names the client"

    ping = ContinuousPing(client, INNER_IPV4)
    ping.await_replies(10)
    former = site.database.primary()
    began = time.monotonic()
    former.switch_off()
    site.database.await_another(former)
    print(f"another primary after {time.monotonic() - began:.1f} s")
    eventually(lambda: log_in(site, 1, "bob"), lambda up: up, "a login by the new primary")
    print(f"logins again after {time.monotonic() - began:.1f} s")
    assert ping.missing() == [], "the tunnel has lost nothing"

    site.balancers[0].switch_off()
    seen, began = len(client.lines), time.monotonic()
    eventually(lambda: holder(site.balancers[1:]), lambda found: found, "the address on lb2")
    print(f"the address moved after {time.monotonic() - began:.1f} s")
    client.await_reconnected(since=seen)
    print(f"the client is back after {time.monotonic() - began:.1f} s")
    assert client.ping(INNER_IPV4) == 1.0

    node, session = eventually(lambda: site.node_of("alice"), lambda found: found, "alice on a node")
    seen, began = len(client.lines), time.monotonic()
    node.program.kill()
    client.await_reconnected(since=seen)
    print(f"the client is on another node after {time.monotonic() - began:.1f} s")
    _, after = eventually(lambda: site.node_of("alice"), lambda found: found, "alice on another node")
    assert (after["id"], after["ipv4"]) == (session["id"], inner)
    assert client.ping(INNER_IPV4) == 1.0


def log_in(site, number, user):
    """One try; ends its session."""
    client = site.connect(site.clients[number], user)
    up = eventually(lambda: client.find(r"^vpnc-script: connect ") or not client.running, lambda done: done, "an end")
    if up is True:
        return False
    client.goodbye()
    return True
