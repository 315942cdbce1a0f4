# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, reload, restart and stop by the operator, and what clients are told.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import json
import signal

import pytest

from lab.server import DEVICE, INNER_IPV4, ocsentry
from lab.traffic.probes import ProbeResult, probe


def test_stop_tells_clients_and_removes_device_and_socket(lab):
    server = lab.serve()
    clients = [server.connect(lab.host(), user=user) for user in ("alice", "bob")]
    for client in clients:
        client.await_up()
    assert lab.network.gateway.has_link(DEVICE)
    server.stop()
    for client in clients:
        client.await_line(r"(?i)shut|stopp|disconnect|terminat")
        assert client.await_exit() != 0


def test_users_survive_a_restart_and_a_new_one_gets_in_at_once(lab):
    server = lab.serve()
    host = lab.host()
    server.connect(host).await_up()
    server.restart()
    server.cli("user", "add", "dave", "--password-stdin", stdin="another good password\n")
    client = server.connect(host, user="dave", password="another good password")
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0


@pytest.mark.parametrize("way", ["api", "cli"])
def test_killing_a_session_tells_the_client(lab, way):
    server = lab.serve()
    client = server.connect(lab.host())
    client.await_up()
    (session,) = server.sessions()
    if way == "api":
        status, _ = server.api.call("DELETE", f"/api/v1/sessions/{session['id']}")
        assert status in {200, 204}
    else:
        server.cli("sessions", "kill", session["id"])
    assert client.await_exit() != 0
    server.await_sessions(0)
    server.await_leases(0)


def test_hangup_reloads_the_rules(lab):
    server = lab.serve()
    host = lab.host()
    assert probe(host) is ProbeResult.HANDSHAKE
    seen = len(server.program.lines)
    server.program.signal(signal.SIGHUP)
    server.program.await_line(r"reload", since=seen)
    assert probe(host) is ProbeResult.HANDSHAKE


def test_check_accepts_the_configuration_and_names_what_is_wrong(lab):
    server = lab.serve()
    ocsentry(server.folder, "serve", "--check", "--config", str(server.configuration))
    server.configuration.write_text(server.configuration.read_text() + "\n[vpn.limitz]\nmax_clients = 1\n")
    with pytest.raises(RuntimeError, match="limitz"):
        ocsentry(server.folder, "serve", "--check", "--config", str(server.configuration))


def test_status_agrees_on_every_surface(lab):
    server = lab.serve()
    client = server.connect(lab.host())
    client.await_up()
    assert server.command("status")["sessions"] == 1
    assert json.loads(server.cli("status", "--json"))["sessions"] == 1
    assert server.api.get("/api/v1/status")["sessions"] == 1
    assert server.api.call("GET", "/healthz")[0] == 200
    assert server.api.call("GET", "/readyz")[0] == 200
