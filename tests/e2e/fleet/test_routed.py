# SPDX-License-Identifier: GPL-3.0-or-later
"""Inner addresses that are routed to the node that has the session. The test is the routing daemon.

client ── node a, node b ── router: has a link to each node, and the routes that the nodes have
"""

from __future__ import annotations

import json

from lab.timeouts import eventually

ROUTED = {"fleet": {"addresses": "routed"}}


def await_routes(node, wanted):
    """Wait until the host routes to the TUN device of a node are these."""

    def look():
        rows = json.loads(node.network.gateway.run("ip", "-json", "route", "show", "dev", "ocs0") or "[]")
        return [row["dst"] for row in rows if "/" not in row["dst"]]

    return eventually(look, lambda found: found == wanted, f"the routes {wanted}")


def ping(namespace, address):
    return " 0% packet loss" in namespace.run("ping", "-n", "-c2", "-i0.2", "-W5", address, check=False)


def test_an_address_is_routed_to_the_node_that_has_the_session(fleet, lab):
    a, b = (fleet.add_node(name, settings=ROUTED) for name in "ab")
    host, router = lab.host(), lab.host()
    for one in (host, router):
        fleet.wire(one)
    for site in fleet.sites:
        site.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    client = a.connect(host, "--disable-ipv6")
    inner = client.await_up().ipv4
    await_routes(a, [inner])
    router.namespace.ip(f"route add {inner} via 10.77.100.1 dev eth0 onlink")
    assert ping(router.namespace, inner)

    fleet.move_to_node(host, 1)
    client.reconnect()
    b.await_sessions(1)
    await_routes(b, [inner])
    await_routes(a, [])
    router.namespace.ip(f"route replace {inner} via 10.77.100.2 dev n1 onlink")
    assert ping(router.namespace, inner), "from the same address, to the other node"
    client.goodbye()
    await_routes(b, [])
