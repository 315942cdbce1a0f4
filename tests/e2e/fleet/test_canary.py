# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that one of three nodes tries first, with a real client at each, begun in the console: see lab/fleet.py.

host 1 ── node a (the canary), with the browser      host 2 ── node b      host 3 ── node c
"""

from __future__ import annotations

import json
import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lab.clients.api import ADMIN_PORT
from lab.clients.chromium import open_browser
from lab.server import INNER_IPV4, PASSWORD
from lab.timeouts import TIMEOUT, eventually

BASE = f"http://127.0.0.1:{ADMIN_PORT}/console"
WIDTHS = (360, 1280)
NO_IPV6 = "--disable-ipv6"
expect.set_options(timeout=TIMEOUT * 1000)


class Clients:
    """One on a host of its own at each node; ``up`` starts those that have ended."""

    def __init__(self, fleet, lab):
        self._nodes = fleet.nodes
        self._hosts = [lab.host() for _ in fleet.nodes]
        for number, host in enumerate(self._hosts):
            fleet.wire(host)
            fleet.move_to_node(host, number)
        self._clients = [None] * len(self._hosts)
        self.networks = [f"{host.ipv4}/32" for host in self._hosts]

    def up(self, number):
        client = self._nodes[number].connect(self._hosts[number], NO_IPV6, user=("alice", "bob", "carol")[number])
        client.await_up()
        self._clients[number] = client

    def refused(self, number):
        """A new client is not let in there."""
        return self._nodes[number].connect(self._hosts[number], NO_IPV6).await_exit() != 0

    def ended(self, number):
        """Its node has disconnected it, and it has told why."""
        return self._clients[number].await_exit() != 0

    def works(self, number):
        return self._clients[number].ping(INNER_IPV4) == 1.0


def sign_in(server, page):
    page.goto(json.loads(server.cli("console", "--name", "ana", "--json"))["url"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def try_first(page, networks, seconds):
    """Have node a alone reject the networks."""
    page.goto(f"{BASE}/rules/edit")
    editor = page.get_by_label("Rule document")
    document = json.loads(editor.input_value())
    document["wolfsentry"]["rules"] = [
        {"id": f"no_{number}", "type": "blacklist", "remote_addr": network} for number, network in enumerate(networks)
    ]
    editor.fill(json.dumps(document))
    page.get_by_label("On trial for").fill(str(seconds))
    page.get_by_label("Nodes that try it first").fill("a")
    page.get_by_role("button", name="Apply on trial").click()
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
    page.goto(f"{BASE}/policy/versions")


def state_of(node):
    return node.api.get("/api/v1/fleet")["canary"]["state"]


def test_a_canary_judges_the_clients_of_its_node_alone_until_it_is_confirmed(fleet, lab):
    a, b, c = (fleet.add_node(name, builtin_limits=False) for name in "abc")
    a.cli("user", "add", "carol", "--password-stdin", stdin=PASSWORD + "\n")
    clients = Clients(fleet, lab)
    for number in range(3):
        clients.up(number)
    with open_browser(lab.network.gateway) as browser:
        page = browser.page
        sign_in(a, page)
        try_first(page, clients.networks, 3600)
        tried = page.get_by_role("status", name="Tried first")
        expect(tried).to_contain_text(re.compile("is tried on a, and ends"))
        expect(page.get_by_role("row", name=re.compile("^a "))).to_contain_text("in force, 1 cut")
        assert Axe().run(page).violations_count == 0
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert clients.ended(0)
        assert clients.refused(0)
        assert clients.works(1)
        assert clients.works(2)

        tried.get_by_role("button", name="Withdraw it").click()
        expect(page.get_by_role("status").first).to_be_visible()
        assert state_of(b) == "withdrawn"
        clients.up(0)

        try_first(page, clients.networks, 5)
        assert clients.ended(0)
        eventually(lambda: state_of(c), lambda state: state == "withdrawn", "withdrawn by itself")
        eventually(lambda: a.api.get("/api/v1/policy")["confirm_by"], lambda found: found is None, "withdrawn on a too")
        clients.up(0)

        try_first(page, clients.networks, 3600)
        assert clients.ended(0)
        assert browser.complaints == []
    a.api.close()
    a.program.kill()
    assert state_of(b) == "running"
    assert clients.works(1)
    a.start_again()
    assert clients.refused(0), "the canary's node has it again"
    assert b.cli("rules", "confirm")
    for number in (1, 2):
        assert clients.ended(number)
        assert clients.refused(number)
    assert state_of(c) == "confirmed"
