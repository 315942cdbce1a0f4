# SPDX-License-Identifier: GPL-3.0-or-later
"""A user with a second factor logs in unattended: openconnect makes its own codes.

host ── eth0 10.77.1.2 ─────────── v1 ── gateway 10.77.0.1
  └── tun0 192.168.99.x ═ TLS ═ ocs0 192.168.99.1
"""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from lab.clients.cstp_client import Answer, Tunnel, open_tunnel, read_answer
from lab.server import PASSWORD
from lab.traffic.probes import open_tls
from vpn_frontend.auth.totp.codes import code_at, step_at

if TYPE_CHECKING:
    from lab.server import Server

PHONE = "Cisco SVC IPPhone Client v1.0 (1.0)"


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
    step = step_at(time.time())
    client = server.connect(lab.host(), "--token-mode=totp", f"--token-secret={secret}")
    client.await_up()
    if not in_first_form:  # openconnect's second try is the code of the next step
        again = server.connect(lab.host(), "--token-mode=totp", f"--token-secret={secret}")
        again.await_up()
        is_later = step_at(time.time()) > step  # then its first code may have been of another step, and right
        assert is_later or again.find("This code was used already")
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


def say(host, request: str, body: str = "", **headers: str) -> Answer:
    """One request of a phone on a connection of its own, as its firmware sends it: no XML, names in lower case."""
    lines = [f"{request} HTTP/1.1", "host: vpn.example.org", f"user-agent: {PHONE}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if request.startswith("POST"):
        lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
    with open_tls(host) as stream:
        stream.sendall("\r\n".join([*lines, "", body]).encode())
        return read_answer(stream)


def cookies_of(answer: Answer) -> str:
    """What the phone sends back: cookies that were set and not cleared."""
    pairs = [value.partition(";")[0] for value in answer.headers.get("set-cookie", [])]
    return "; ".join(pair for pair in pairs if not pair.endswith("="))


def test_an_ip_phone_logs_in_with_a_code_and_opens_a_tunnel(lab):
    """A phone has a form of user name and password at /svc, types its code into the next one, and then connects."""
    server = lab.serve(settings={"auth": {"require": ["totp"]}, "vpn": {"ip_phones": True}})
    secret = base64.b32decode(enrol(server, "alice").removeprefix("base32:"))
    host = lab.host()
    asked = say(host, "GET /svc")
    assert (asked.status, b"username" in asked.body) == (200, True)
    login = urlencode({"username": "alice", "password": PASSWORD})
    refused = say(host, "POST /svc", urlencode({"username": "alice", "password": "wrong"}), cookie=cookies_of(asked))
    assert "webvpn=" not in cookies_of(refused)
    challenge = say(host, "POST /svc", login, cookie=cookies_of(asked))
    assert "webvpn=" not in cookies_of(challenge), "the code is not asked for in vain"
    for _ in range(2):  # a step may end between the code and its check
        code = code_at(secret, step_at(time.time()))
        accepted = say(host, "POST /svc", urlencode({"password": code}), cookie=cookies_of(challenge))
        found = re.search(r"webvpn=([^;]+)", cookies_of(accepted))
        if found:
            break
        challenge = accepted
    assert found, accepted.body
    tunnel = open_tunnel(host, found[1], f"User-Agent: {PHONE}")
    assert isinstance(tunnel, Tunnel)
    assert tunnel.answers()
    assert [session["user"] for session in server.sessions()] == ["alice"]
    tunnel.disconnect()


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
