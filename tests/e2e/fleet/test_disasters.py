# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet's clients see of a machine without power, and of a database that was restored from a backup.

OCSENTRY_FLEET_DPD: seconds of silence after which clients probe their node (10, a fleet's default, before a release).
"""

from __future__ import annotations

import os
import time

from lab.clients.tunnels import PINGS
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT, eventually, time_limit

DPD = int(os.environ.get("OCSENTRY_FLEET_DPD", "3"))
BACK_SECONDS = 30.0  # after a node has lost its power, with an address that has moved
SETTINGS = {"vpn.limits": {"max_same_clients": 1}, "vpn.session": {"dpd": DPD, "cookie_timeout": 900}}
NO_IPV6 = "--disable-ipv6"


def test_a_client_of_a_node_without_power_goes_on_where_the_address_has_moved(fleet, lab):
    a, b = (fleet.add_node(name, settings=SETTINGS) for name in "ab")
    host = lab.host()
    fleet.wire(host)
    fleet.move_to_node(host, 1)
    client = b.connect(host, NO_IPV6, reconnect_timeout=900)
    inner = client.await_up().ipv4
    assert client.ping(INNER_IPV4, count=PINGS) == 1.0
    b.await_sessions(1)
    (before,) = b.sessions()

    seen, lost = len(client.lines), time.monotonic()
    fleet.power_off(1)
    fleet.move_to_node(host, 0)  # as keepalived does
    back = client.await_line(r"CSTP connected", 4 * TIMEOUT, since=seen)
    print(f"back {back.at - lost:.2f} s after the power has gone")
    assert back.at - lost < time_limit(BACK_SECONDS)
    (after,) = eventually(a.sessions, lambda found: len(found) == 1, "the session on node a")
    assert (after["id"], after["ipv4"]) == (before["id"], inner)
    assert client.ping(INNER_IPV4, count=PINGS) == 1.0
    client.goodbye()
    a.await_sessions(0)
    (row,) = a.api.get("/api/v1/sessions/history")["items"]
    assert row["end_reason"] == "user_disconnect"
    assert row["rx_packets"] in (PINGS, 2 * PINGS), "those of the last minute may be lost; none is counted twice"


def test_a_database_of_yesterday_costs_no_tunnel_no_block_and_no_limit(fleet, lab):
    """It knows the nodes, and neither the session nor the block that were made since."""
    a, b = (fleet.add_node(name, settings=SETTINGS) for name in "ab")
    fleet.database.save()
    host, other = lab.host(), lab.host()
    for one in (host, other):
        fleet.wire(one)
    client = a.connect(host, NO_IPV6, reconnect_timeout=900)
    inner = client.await_up().ipv4
    a.await_sessions(1)
    (before,) = a.sessions()
    b.api.expect(201, "POST", "/api/v1/blocks", BLOCK)
    for node in (a, b):
        eventually(lambda node=node: node.api.get("/api/v1/fleet"), lambda seen: seen["applied"] > 0, "the block seen")

    seen = [len(node.program.lines) for node in (a, b)]
    fleet.database.restore()
    for node, since in zip((a, b), seen, strict=True):
        node.program.await_line('"fleet_store_restored"', since=since)
        eventually(lambda node=node: node.api.call("GET", "/readyz")[0], lambda status: status == 200, "ready again")
        node.program.await_line('"fleet_returned"', since=since)
    assert client.ping(INNER_IPV4) == 1.0
    assert client.find("reconnect", since=0) is None
    assert [one["id"] for one in a.sessions()] == [before["id"]]
    for node in (a, b):
        kept = eventually(lambda node=node: node.api.get("/api/v1/blocks")["items"], len, "the block")
        assert [one["cidr"] for one in kept] == [BLOCK["cidr"]]
        assert node.api.get("/readyz")["status"] == "ready"
    fleet.move_to_node(other, 1)
    refused = b.connect(other, NO_IPV6)
    assert refused.await_exit() != 0
    assert refused.find(r"Too many sessions of this user"), "the database knows of the session again"
    second = b.connect(other, NO_IPV6, user="bob")
    assert second.await_up().ipv4 != inner
    second.goodbye()
    client.goodbye()


BLOCK = {"cidr": "198.51.100.0/24", "reason": "scans", "ttl": 3600}
