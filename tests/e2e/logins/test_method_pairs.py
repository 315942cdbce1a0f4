# SPDX-License-Identifier: GPL-3.0-or-later
"""Every sensible combination of methods, with the real client: one server, and a group with rules of its own for each.

host ── eth0 10.77.1.2 ── v1 ── gateway 10.77.0.1
  ├── openconnect, browser         ├── ocsentry, PAM helper
  └── [::1]:29786                  └── loopback: freeradius, slapd, identity provider
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import lab.clients.browser
from lab.authority import Authority
from lab.network import SERVER_IPV4
from lab.processes.programs import Program
from lab.processes.resource_usage import process_tree
from lab.server import OCSENTRY, PASSWORD
from lab.services import directory_server, pam
from lab.services.directory_server import BASE, HOST, SECURE_PORT, SERVICE_DN, SERVICE_PASSWORD, person
from lab.services.freeradius import SECRET, FreeRadius
from lab.timeouts import eventually
from vpn_frontend.auth.totp.codes import code_at, step_at

PROVIDER_PORT = 9400
# Methods, and what is required as well. In each the user logs in by the first method and everything required.
COMBINATIONS = [
    (["password"], ["totp"]),
    (["password"], ["certificate"]),
    (["password"], ["certificate", "totp"]),
    (["certificate"], ["totp"]),
    (["certificate"], ["password"]),
    (["radius"], ["totp"]),
    (["radius"], ["certificate"]),
    (["ldap"], ["totp"]),
    (["ldap"], ["certificate"]),
    (["pam"], ["totp"]),
    (["pam"], ["certificate"]),
    (["oidc"], ["totp"]),
    (["oidc"], ["certificate"]),
    (["certificate", "password"], []),
    (["password", "certificate"], []),
    (["radius", "certificate"], []),
    (["oidc", "password"], []),
    (["password", "oidc"], []),
]
REFUSALS = {
    "totp": "Login failed: wrong code",
    "certificate": "needs a client certificate",
    "password": "wrong username or password",
    "radius": "wrong username or password",
    "ldap": "wrong username or password",
    "pam": "wrong username or password",
}


@dataclass
class Login:
    """One combination and its user, who is in its group only."""

    number: int
    methods: list[str]
    require: list[str]
    secret: bytes = b""
    cookie: str = ""  # of its session

    @property
    def user(self):
        return f"user{self.number}"

    @property
    def group(self):
        return f"group{self.number}"

    @property
    def factors(self):
        return [self.methods[0], *self.require]

    @property
    def label(self):
        return " and ".join((" or ".join(self.methods), *self.require))

    def lines(self, without=""):
        """What the client types. ``without``: the factor that is wrong."""
        form = next((name for name in self.factors if name in ("password", "radius", "ldap", "pam")), "")
        typed = ["wrong" if form == without else PASSWORD] if form else []
        if "totp" in self.require:
            typed.append("000000" if without == "totp" else code_at(self.secret, step_at(time.time())))
        return "\n".join(typed)

    def rules(self):
        return {f"groups.{self.group}.auth": {"methods": self.methods, "require": self.require}}


@pytest.fixture
def logins():
    return [Login(number, *combination) for number, combination in enumerate(COMBINATIONS)]


@pytest.fixture
def services(lab, tmp_path, logins):
    """Settings of all methods, with their servers running."""
    gateway = lab.network.gateway
    freeradius = FreeRadius(tmp_path / "raddb", gateway)
    lab.network.programs.append(freeradius.program)
    claims = [{"sub": one.user, "preferred_username": one.user} for one in logins]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(PROVIDER_PORT), "--host", "0.0.0.0"]
    words = [word for claim in claims for word in ("--user-claims", json.dumps(claim))]
    lab.network.programs.append(provider := Program("provider", [*command, *words], gateway))
    (tmp_path / "secret").write_text(SERVICE_PASSWORD)
    (tmp_path / "oidc.secret").write_text("the client's secret")
    host_services = pam.PamServices(tmp_path)
    host_services.write("vpn", "auth required matrix", "account required matrix")
    for one in logins:
        host_services.allow(one.user, "vpn")
    authority = Authority(tmp_path / "ca")
    with ExitStack() as running:
        (tmp_path / "directory").mkdir()
        entries = "".join(person(one.user, PASSWORD) for one in logins)
        directory = running.enter_context(directory_server.running(tmp_path / "directory", entries, gateway))
        socket = running.enter_context(host_services.activated(tmp_path / "server0" / "ocsentry.toml"))
        provider.await_line("(?i)uvicorn running|startup complete")
        settings = {
            "log": {"level": "debug"},
            "auth": {"attempts": 1},
            "auth.certificate": {"ca": str(authority.file)},
            "auth.pam": {"service": "vpn", "timeout": 60},
            "auth.ldap": {
                "url": f"ldaps://{HOST}:{SECURE_PORT}",
                "ca": str(directory.authority),
                "bind_dn": SERVICE_DN,
                "password_file": str(tmp_path / "secret"),
                "base": BASE,
                "timeout": 60,
            },
            "auth.oidc": {
                "issuer": f"http://127.0.0.1:{PROVIDER_PORT}",
                "client_id": "vpn",
                "client_secret_file": str(tmp_path / "oidc.secret"),
            },
            "auth.radius": {
                "servers": [{"address": f"127.0.0.1:{freeradius.port}", "secret_file": str(freeradius.secret_file)}]
            },
        }
        for one in logins:
            settings |= one.rules()
        server = lab.serve(
            settings=render_tables(settings),
            builtin_limits=False,
            launcher=["env", f"OCSENTRY_PAM_HELPER={socket}", OCSENTRY],
        )
        yield server, authority
        server.finish()


def render_tables(settings):
    """The servers of RADIUS as a table of their own: inline tables are not JSON."""
    server = settings["auth.radius"].pop("servers")[0]
    return {**settings, "[auth.radius.servers]": server}


def browser(folder, user):
    script = folder / f"browser-{user}"
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} {lab.clients.browser.__file__} --user {user} "
        f'--provider 127.0.0.1:{PROVIDER_PORT}={SERVER_IPV4}:{PROVIDER_PORT} "$1"\n'
    )
    script.chmod(0o755)
    return script


def enrol(server, one):
    record = {"name": one.user, "password": PASSWORD, "groups": [one.group]}
    server.api.expect(201, "POST", "/api/v1/users", record)
    if "totp" in one.require:
        made = server.api.expect(201, "POST", f"/api/v1/users/{one.user}/totp", {})
        one.secret = base64.b32decode(made["secret"])
        # A step may end between the code and its check.
        eventually(lambda: confirm(server, one), lambda answer: answer[0] == 200, "enrolled")


def confirm(server, one):
    """With the code of the step before: that of this one is for the login."""
    code = code_at(one.secret, step_at(time.time()) - 1)
    return server.api.call("POST", f"/api/v1/users/{one.user}/totp/confirm", {"code": code})


def test_each_combination_needs_all_that_it_names(lab, services, logins, tmp_path):
    server, authority = services
    host = lab.host()

    def connect(one, without=""):
        certificate = (
            authority.issue(one.user).arguments if "certificate" in one.factors and without != "certificate" else ()
        )
        window = (f"--external-browser={browser(tmp_path, one.user)}",) if one.methods[0] == "oidc" else ()
        return server.connect(
            host, *certificate, *window, "--cookieonly", path=one.group, user=one.user, password=one.lines(without)
        )

    for one in logins:
        enrol(server, one)
        for factor in one.factors:
            if factor in REFUSALS and not (factor == "certificate" and len(one.methods) > 1):
                refused = connect(one, factor)
                assert refused.await_exit() != 0, f"{one.label} without {factor}"
                assert refused.find(REFUSALS[factor]), f"{one.label} without {factor}: {refused.output}"
        accepted = connect(one)
        assert accepted.await_exit() == 0, f"{one.label}: {accepted.output}"
        found = re.search(r"webvpn=([^;\s]{16,})", accepted.output)
        assert found, one.label
        one.cookie = found[1]
    assert_no_secret_is_told(server, secrets_of(logins, tmp_path))


def secrets_of(logins, folder):
    """What must not be told, by its name: all that users typed or have, and what the server proves itself with."""
    found = {"password": PASSWORD, "LDAP": SERVICE_PASSWORD, "RADIUS": SECRET, "OIDC": "the client's secret"}
    for one in logins:
        found[f"cookie of {one.user}"] = one.cookie
        if one.secret:
            found[f"device of {one.user}"] = base64.b32encode(one.secret).decode()
    found["private key"] = "".join((folder / "server0" / "server.key").read_text().splitlines()[1:3])
    return found


def assert_no_secret_is_told(server, secrets):
    """Neither in the log at its most talkative, nor in the API's answers, nor to who lists processes."""
    places = {"log": server.program.output}
    document = server.api.get("/openapi.json")
    for path, operations in document["paths"].items():
        answers = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if [*answers] == ["application/json"] and "{" not in path:  # others are streams, and files
            status, answer = server.api.call("GET", path)
            if status == 200:
                places[f"GET {path}"] = json.dumps(answer)
    for one in server.api.get("/api/v1/users")["items"]:
        for path in (f"/api/v1/users/{one['name']}", f"/api/v1/users/{one['name']}/totp"):
            places[f"GET {path}"] = json.dumps(server.api.call("GET", path)[1])
    for pid in process_tree(server.program.process.pid):
        for file in ("cmdline", "environ"):
            places[f"{file} of {pid}"] = Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits), f"a core of {pid} would have all secrets"
    assert len(places) > 40
    for place in ("log", "GET /api/v1/users"):
        assert "user0" in places[place], "the search finds what is there"
    told = [(name, place) for place, text in places.items() for name, secret in secrets.items() if secret in text]
    assert told == []
