# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of stock clients on two nodes of one fleet: see lab/fleet.py for the topology."""

from __future__ import annotations

import signal

from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT, eventually

ONE = {"vpn.limits": {"max_same_clients": 1}}
NO_IPV6 = "--disable-ipv6"


def test_nodes_share_the_limit_and_a_killed_nodes_client_goes_on_at_the_other(fleet, lab):
    a, b = fleet.add_node("a", settings=ONE), fleet.add_node("b", settings=ONE)
    first, second = lab.host(), lab.host()
    for host in (first, second):
        fleet.wire(host)
    client = a.connect(first, NO_IPV6)
    inner = client.await_up().ipv4
    assert client.ping(INNER_IPV4) == 1.0
    fleet.move_to_node(second, 1)
    refused = b.connect(second, NO_IPV6)
    assert refused.await_exit() != 0
    assert refused.find(r"Too many sessions of this user")
    other = b.connect(second, NO_IPV6, user="bob")
    assert other.await_up().ipv4 != inner

    seen = len(client.lines)
    a.program.kill()
    fleet.move_to_node(first, 1)
    client.await_line(r"CSTP connected", 2 * TIMEOUT, since=seen)
    assert client.ping(INNER_IPV4) == 1.0
    found = eventually(b.sessions, lambda found: len(found) == 2, "both sessions on node b")
    assert {one["user"]: one["ipv4"] for one in found}["alice"] == inner
    client.goodbye()
    other.goodbye()
    b.await_sessions(0)
    assert sorted((row["user"], row["end_reason"]) for row in ended_rows(b)) == [
        ("alice", "user_disconnect"),
        ("bob", "user_disconnect"),
    ]


def ended_rows(node):
    return eventually(
        lambda: node.api.get("/api/v1/sessions/history")["items"],
        lambda rows: all(row["ended_at"] for row in rows),
        "an end in each row",
    )


def test_a_client_roams_is_contested_and_outlives_a_planned_stop(fleet, lab):
    """Each move keeps the inner address where the session goes on, and every byte is counted once."""
    a, b = fleet.add_node("a", settings=ONE), fleet.add_node("b", settings=ONE)
    first, second = lab.host(), lab.host()
    for host in (first, second):
        fleet.wire(host)
    client = a.connect(first, NO_IPV6)
    inner = client.await_up().ipv4
    assert client.ping(INNER_IPV4, count=5) == 1.0
    fleet.move_to_node(first, 1)
    client.reconnect()
    b.await_sessions(1)
    a.await_sessions(0)
    assert client.ping(INNER_IPV4, count=4) == 1.0
    (view,) = b.sessions()
    assert (view["ipv4"], view["counters"]["rx_packets"], view["counters"]["tx_packets"]) == (inner, 9, 9)

    client.kill()  # it leaves its place on node b behind
    later = a.connect(second, NO_IPV6)
    later.await_up()
    b.await_sessions(0)
    (gone,) = [row for row in ended_rows_of(a) if row["end_reason"]]
    assert (gone["end_reason"], gone["rx_packets"], gone["tx_packets"]) == ("replaced", 9, 9)

    seen = len(later.lines)
    (kept,) = a.sessions()
    fleet.move_to_node(second, 1)
    a.stop()
    later.await_line(r"CSTP connected", 2 * TIMEOUT, since=seen)
    found = eventually(b.sessions, lambda found: len(found) == 1, "the session on node b")
    assert (found[0]["id"], found[0]["ipv4"]) == (kept["id"], kept["ipv4"])
    assert later.ping(INNER_IPV4) == 1.0
    later.goodbye()


def test_a_client_that_sleeps_while_its_node_is_drained_and_started_again_goes_on_elsewhere(fleet, lab):
    a, b = fleet.add_node("a", settings=ONE), fleet.add_node("b", settings=ONE)
    host = lab.host()
    fleet.wire(host)
    client = a.connect(host, NO_IPV6)
    client.await_up()
    assert client.ping(INNER_IPV4, count=5) == 1.0
    (kept,) = a.sessions()
    seen = len(client.lines)
    client.signal(signal.SIGSTOP)
    b.api.expect(200, "POST", "/api/v1/nodes/a:drain")
    a.await_sessions(0)
    a.stop()
    a.start_again()
    fleet.move_to_node(host, 1)
    client.signal(signal.SIGCONT)
    client.await_line(r"CSTP connected", 2 * TIMEOUT, since=seen)
    found = eventually(b.sessions, lambda found: len(found) == 1, "the session on node b")
    assert (found[0]["id"], found[0]["ipv4"]) == (kept["id"], kept["ipv4"])
    assert client.ping(INNER_IPV4, count=4) == 1.0
    client.goodbye()
    b.await_sessions(0)
    assert not a.program.find(r'"sessions_(lost|restored)"')
    ((reason, received),) = [(row["end_reason"], row["rx_packets"]) for row in ended_rows(b)]
    assert (reason, received) == ("user_disconnect", 9)


def ended_rows_of(node):
    """Once one row has an end."""
    return eventually(
        lambda: node.api.get("/api/v1/sessions/history")["items"],
        lambda rows: any(row["ended_at"] for row in rows),
        "an end in a row",
    )
