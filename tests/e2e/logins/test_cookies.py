# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that share a cookie, come back after a goodbye, or make a new tunnel for new keys.

host 1, host 2 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

from lab.clients.cookies import connect, log_in
from lab.server import INNER_IPV4

REKEY = 3  # seconds


def test_the_second_client_with_a_cookie_takes_over_once_and_may_come_back_after_its_goodbye(lab):
    server = lab.serve()
    hosts = [lab.host(), lab.host()]
    cookie = log_in(server, hosts[0])
    first = connect(server, hosts[0], cookie)
    first.await_up()
    second = connect(server, hosts[1], cookie)
    inside = second.await_up()
    first.await_line("Another connection took over this session")
    assert first.await_exit() != 0, "it does not come back"
    assert second.ping(INNER_IPV4) == 1.0
    second.goodbye()
    server.await_sessions(0)
    again = connect(server, hosts[1], cookie)
    assert again.await_up().ipv4 == inside.ipv4
    (session,) = server.sessions()
    server.api.call("DELETE", f"/api/v1/sessions/{session['id']}")
    again.await_exit()
    late = connect(server, hosts[1], cookie)
    assert late.await_exit() != 0, "it was terminated"
    server.await_sessions(0)


def test_a_new_tunnel_for_new_keys_keeps_the_session(lab):
    server = lab.serve(settings={"vpn.session": {"rekey_time": REKEY, "rekey_method": "new-tunnel"}})
    client = server.connect(lab.host())
    before = client.await_up()
    (session,) = server.sessions()
    client.await_reconnected()
    assert client.ping(INNER_IPV4) == 1.0
    (after,) = server.sessions()
    assert (after["id"], after["ipv4"], after["logged_in_at"]) == (session["id"], before.ipv4, session["logged_in_at"])
