# SPDX-License-Identifier: GPL-3.0-or-later
"""A user with a second factor logs in unattended: openconnect makes its own codes.

host ── eth0 10.77.1.2 ─────────── v1 ── gateway 10.77.0.1
  └── tun0 192.168.99.x ═ TLS ═ ocs0 192.168.99.1
"""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

import pytest

from lab.server import PASSWORD
from vpn_frontend.auth.totp.codes import code_at, step_at

if TYPE_CHECKING:
    from lab.server import Server


def enrol(server: Server, user: str) -> str:
    """Enrols a user while the server runs; the code of now stays unused. Returns the secret for openconnect."""
    made = json.loads(server.cli("user", "totp", "enrol", user, "--json"))
    secret = base64.b32decode(made["secret"])
    for _ in range(2):  # a step may end between the code and its check
        code = code_at(secret, step_at(time.time()) - 1)
        status, answer = server.api.call("POST", f"/api/v1/users/{user}/totp/confirm", {"code": code})
        if status == 200:
            return f"base32:{made['secret']}"
    raise AssertionError(answer)


@pytest.mark.parametrize("in_first_form", [False, True], ids=["second form", "one form"])
def test_openconnect_logs_in_with_its_own_codes(lab, in_first_form):
    server = lab.serve(settings={"auth": {"require": ["totp"]}, "auth.totp": {"in_first_form": in_first_form}})
    secret = enrol(server, "alice")
    client = server.connect(lab.host(), "--token-mode=totp", f"--token-secret={secret}")
    client.await_up()
    if not in_first_form:  # openconnect's second try is the code of the next step
        again = server.connect(lab.host(), "--token-mode=totp", f"--token-secret={secret}")
        again.await_up()
        assert again.find("This code was used already")
    assert {session["user"] for session in server.sessions()} == {"alice"}


def test_a_wrong_code_is_told_and_other_users_need_none(lab):
    server = lab.serve(settings={"auth": {"require": ["totp"]}})
    enrol(server, "alice")
    wrong = server.connect(lab.host(), password=f"{PASSWORD}\n000000\n111111\n222222")
    assert wrong.await_exit() != 0
    assert wrong.find("Login failed: wrong code")
    assert server.sessions() == []
    server.connect(lab.host(), user="bob").await_up()
    assert [session["user"] for session in server.sessions()] == ["bob"]


def test_a_backup_code_replaces_the_device_and_all_may_be_made_to_enrol(lab):
    server = lab.serve(settings={"auth": {"require": ["totp"]}, "auth.totp": {"required": "all"}})
    made = json.loads(server.cli("user", "totp", "enrol", "alice", "--json"))
    code = code_at(base64.b32decode(made["secret"]), step_at(time.time()))
    codes = json.loads(server.cli("user", "totp", "confirm", "alice", code, "--json"))["codes"]
    server.connect(lab.host(), password=f"{PASSWORD}\n{codes[0]}").await_up()
    used = server.connect(lab.host(), password=f"{PASSWORD}\n{codes[0]}")
    assert used.await_exit() != 0
    missing = server.connect(lab.host(), user="bob")
    assert missing.await_exit() != 0
    assert missing.find("needs a second factor")
    assert json.loads(server.cli("user", "totp", "show", "alice", "--json"))["backup_codes"] == len(codes) - 1
