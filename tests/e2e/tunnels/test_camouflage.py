# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that shows itself to clients with the secret in their URL, and drains its sessions before it stops.

host 1, host 2 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import signal

from lab.server import INNER_IPV4

SETTINGS = {"vpn": {"drain": 600}, "vpn.camouflage": {"secret": "let-me.in", "realm": "Files"}}


def test_clients_with_the_secret_connect_and_reconnect_and_a_stop_waits_for_them(lab):
    server = lab.serve(settings=SETTINGS)
    stranger = server.connect(lab.host())
    assert stranger.await_exit() != 0
    client = server.connect(lab.host(), path="?let-me.in")
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0
    client.reconnect()  # with its cookie
    assert client.ping(INNER_IPV4) == 1.0
    server.program.signal(signal.SIGTERM)
    server.program.await_line("stopping")
    assert client.ping(INNER_IPV4) == 1.0
    client.goodbye()
    assert server.program.await_exit() == 0
