# SPDX-License-Identifier: GPL-3.0-or-later
"""`ocsentry demo` with the real client, beside another one: what it shows, and that nothing of it stays.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`; the demo adds a namespace with a client of its own
"""

from __future__ import annotations

import json

from lab.namespaces import run


def state_of(server, gateway):
    """What the demo could leave behind."""
    namespaces = [line for line in run("ip", "netns", "list").splitlines() if "ocsentry-demo" in line]
    routes = [gateway.run("ip", family, "-o", "route", "show", "table", "all") for family in ("-4", "-6")]
    links = [line.partition(":")[2].split("@")[0] for line in gateway.run("ip", "-o", "link", "show").splitlines()]
    users = [user["name"] for user in server.api.get("/api/v1/users")["items"]]
    return namespaces, routes, links, users, server.api.get("/api/v1/blocks")["items"]


def test_the_demo_blocks_its_client_says_why_and_leaves_nothing(lab):
    server, gateway = lab.serve(), lab.network.gateway
    other = server.connect(lab.host())
    other.await_up()
    before = state_of(server, gateway)

    with gateway.entered():
        shown = json.loads(server.cli("demo", "--json"))

    assert shown["told"].endswith("demo: scans")
    assert shown["refused_again"]
    assert shown["explanation"]["verdict"]["action"] == "reject"
    assert shown["ipv4"].startswith("192.168.99.")
    assert state_of(server, gateway) == before
    assert other.ping("192.168.99.1") == 1.0
    assert "session_closed" in server.program.output
