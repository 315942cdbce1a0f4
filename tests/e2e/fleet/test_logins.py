# SPDX-License-Identifier: GPL-3.0-or-later
"""A client logs in at one node and opens its tunnel at another: see lab/fleet.py for the topology."""

from __future__ import annotations

import psycopg

from lab.clients.cookies import connect, log_in
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT, eventually

SETTINGS = {"vpn.limits": {"max_same_clients": 1}, "vpn.session": {"dpd": 10, "disconnect_grace": 0}}


def await_login(fleet, what):
    """Until the database has one that is so: nodes write it behind their answer to the client."""

    def count():
        with psycopg.connect(fleet.database.url.replace("+psycopg", "")) as connection:
            return connection.execute(f"SELECT count(*) FROM fleet.logins WHERE {what}").fetchone()[0]

    eventually(count, lambda found: found == 1, f"a login that is {what}")


def test_a_login_at_one_node_opens_at_another_once_and_also_if_its_node_is_dead(fleet, lab):
    a, b = fleet.add_node("a", settings=SETTINGS), fleet.add_node("b", settings=SETTINGS)
    host = lab.host()
    fleet.wire(host)
    cookie = log_in(a, host)
    await_login(fleet, "NOT ended")
    fleet.move_to_node(host, 1)
    client = connect(b, host, cookie)
    inner = client.await_up().ipv4
    assert client.ping(INNER_IPV4) == 1.0
    (there,) = b.sessions()
    fleet.move_to_node(host, 0)  # back to the node that has taken the login
    seen = len(client.lines)
    client.reconnect()
    client.await_line(r"CSTP connected", 2 * TIMEOUT, since=seen)
    a.await_sessions(1)
    (here,) = a.sessions()
    assert (here["id"], here["ipv4"]) == (there["id"], inner)
    assert client.ping(INNER_IPV4) == 1.0
    client.goodbye()
    a.await_sessions(0)
    await_login(fleet, "ended")
    for number, node in enumerate((a, b)):
        fleet.move_to_node(host, number)
        assert connect(node, host, cookie).await_exit() != 0, "it has ended"

    fleet.move_to_node(host, 0)
    other = log_in(a, host)
    await_login(fleet, "NOT ended")
    a.program.kill()
    fleet.move_to_node(host, 1)
    later = connect(b, host, other)
    later.await_up()
    (session,) = b.sessions()
    b.api.call("DELETE", f"/api/v1/sessions/{session['id']}")
    later.await_exit()
    b.await_sessions(0)
    assert connect(b, host, other).await_exit() != 0, "it was terminated"
