# SPDX-License-Identifier: GPL-3.0-or-later
"""`ocsentry occtl` on a server with a real client: what tools of ocserv read, and what operators do.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import json
import subprocess

from jsonschema import Draft202012Validator

from lab.server import OCSENTRY
from lab.timeouts import TIMEOUT, eventually
from tests.ocsentry.occtl.schemas import EXPORTER_STATUS, EXPORTER_USER, SCHEMAS


def occtl(server, *words, as_json=True):
    command = [OCSENTRY, "occtl", "-s", server.socket, *(["-j"] if as_json else []), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    return done.returncode, json.loads(done.stdout) if as_json else done.stdout


def test_a_user_is_shown_disconnected_and_terminated(lab):
    server = lab.serve()
    client = server.connect(lab.host())
    client.await_up()
    code, users = occtl(server, "show", "users")
    assert code == 0
    Draft202012Validator(SCHEMAS["show users"]).validate(users)
    [user] = users
    assert {name: type(user[name]) for name in EXPORTER_USER} == EXPORTER_USER
    assert (user["Username"], user["Device"], user["P-t-P IPv4"]) == ("alice", "ocs0", "192.168.99.1")
    assert occtl(server, "disconnect", "id", str(user["ID"]), as_json=False)[1] == (
        f"connection ID '{user['ID']}' was disconnected\n"
    )
    client.await_exit()
    eventually(lambda: occtl(server, "show", "users")[1], lambda found: found == [], "no users")
    code, status = occtl(server, "show", "status")
    Draft202012Validator(SCHEMAS["show status"]).validate(status)
    assert {name: type(status[name]) for name in EXPORTER_STATUS} == EXPORTER_STATUS
    assert (status["Total sessions"], status["Sessions handled"], status["Active sessions"]) == (1, 1, 0)
    assert status["Server PID"] == server.program.process.pid
