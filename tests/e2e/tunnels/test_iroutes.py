# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind clients, with the routes of a real kernel on both sides.

site 10.30.0.9 ── 10.30.0.1 host 1 ── v1 ── gateway, `ocsentry serve` ── v2 ── host 2 (other clients)
"""

from __future__ import annotations

import json

from lab.server import INNER_IPV4
from lab.timeouts import eventually

SITE, MACHINE, ROUTER = "10.30.0.0/24", "10.30.0.9", "10.30.0.1"
SPLIT = {"vpn.network": {"routes": ["192.168.99.0/24"], "expose_iroutes": True}}


def routes_to(namespace, network):
    return [route["dev"] for route in json.loads(namespace.run("ip", "-json", "route", "show", network) or "[]")]


def ping(namespace, address):
    return " 0% packet loss" in namespace.run("ping", "-n", "-c2", "-i0.2", "-W2", address, check=False)


def test_a_network_behind_a_client_is_reached_until_the_client_goes(lab):
    server = lab.serve(settings=SPLIT)
    server.api.expect(200, "PATCH", "/api/v1/users/alice", {"settings": {"network": {"iroutes": [SITE]}}})
    host, gateway = lab.host(), lab.network.gateway
    gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    machine = lab.network.add_behind(host, "site", f"{MACHINE}/24", router=f"{ROUTER}/24")
    client = server.connect(host)
    client.await_up()
    eventually(lambda: routes_to(gateway, SITE), lambda found: found == ["ocs0"], "with a route to the site")
    assert ping(gateway, MACHINE)
    assert ping(machine, INNER_IPV4)
    [session] = server.sessions()
    assert session["network"]["iroutes"] == [SITE]
    gateway.ip(f"route del {SITE} dev ocs0")
    assert SITE in server.program.await_line("routes_lost").text
    server.program.await_line("routes_restored")
    assert routes_to(gateway, SITE) == ["ocs0"]
    assert server.api.call("GET", "/readyz")[0] == 200

    other = lab.host()
    visitor = server.connect(other, user="bob")
    inside = visitor.await_up()
    assert routes_to(other.namespace, SITE) == [inside.device]
    assert ping(other.namespace, MACHINE), "the site is exposed"
    refused = server.api.expect(
        200, "PATCH", "/api/v1/users/bob", {"settings": {"network": {"iroutes": ["10.30.0.0/25"]}}}
    )
    assert refused["at_next_login"] == ["network.iroutes"]
    visitor.goodbye()
    again = server.connect(other, user="bob")
    assert again.await_exit() != 0
    assert again.find("10.30.0.0/24 is behind another client")

    client.goodbye()
    eventually(lambda: routes_to(gateway, SITE), lambda found: not found, "without the route")


def test_programs_of_the_operator_set_the_routes(lab):
    program = ["/bin/ip", "route"]
    hooks = {"route_add": [*program, "add", "%{R}", "dev", "%{D}"], "route_del": [*program, "del", "%{RI}"]}
    server = lab.serve(settings={**SPLIT, "vpn.hooks": hooks})
    taken = "10.31.0.0/24"
    for user, network in (("alice", SITE), ("bob", taken)):
        server.api.expect(200, "PATCH", f"/api/v1/users/{user}", {"settings": {"network": {"iroutes": [network]}}})
    gateway = lab.network.gateway
    gateway.ip(f"route add blackhole {taken}")
    client = server.connect(lab.host())
    client.await_up()
    assert routes_to(gateway, SITE) == ["ocs0"], "the program has ended before the client is let in"
    refused = server.connect(lab.host(), user="bob")
    assert refused.await_exit() != 0
    assert "route_add of 10.31.0.0/24: exit code 2" in server.program.await_line("hook_failed").text
    client.goodbye()
    eventually(lambda: routes_to(gateway, SITE), lambda found: not found, "without the route")


def test_nothing_is_left_of_a_route_when_the_server_is_killed(lab):
    server = lab.serve(settings=SPLIT)
    server.api.expect(200, "PATCH", "/api/v1/users/alice", {"settings": {"network": {"iroutes": [SITE]}}})
    gateway = lab.network.gateway
    server.connect(lab.host()).await_up()
    eventually(lambda: routes_to(gateway, SITE), lambda found: found == ["ocs0"], "with a route to the site")
    server.program.kill()
    eventually(lambda: routes_to(gateway, SITE), lambda found: not found, "without the route")
