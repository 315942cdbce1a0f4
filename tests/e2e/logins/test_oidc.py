# SPDX-License-Identifier: GPL-3.0-or-later
"""A user logs in at an identity provider: openconnect opens a browser and waits for it on its loopback.

host ── eth0 10.77.1.2 ─────────── v1 ── gateway 10.77.0.1
  ├── openconnect, browser                ├── ocsentry
  └── [::1]:29786                         └── provider 0.0.0.0:9400, issuer http://127.0.0.1:9400
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

import lab.clients.browser
from lab.clients.cstp_client import Tunnel, open_tunnel, read_answer
from lab.clients.sso_window import pass_window, show_token
from lab.network import SERVER_IPV4
from lab.processes.programs import Program
from lab.traffic.probes import open_tls

if TYPE_CHECKING:
    from lab.server import Server

PORT = 9400
PROVIDER = f"127.0.0.1:{PORT}"
SETTINGS = {
    "auth": {"methods": ["oidc"]},
    "auth.oidc": {"issuer": f"http://{PROVIDER}", "client_id": "vpn"},
}


@pytest.fixture
def server(lab, tmp_path):
    users = [
        {"sub": "1", "preferred_username": "dora", "groups": ["staff"]},
        {"sub": "2", "preferred_username": "", "groups": []},
    ]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(PORT), "--host", "0.0.0.0"]
    claims = [word for user in users for word in ("--user-claims", json.dumps(user))]
    provider = Program("provider", [*command, *claims], lab.network.gateway)
    lab.network.programs.append(provider)
    provider.await_line("(?i)uvicorn running|startup complete")
    secret = tmp_path / "oidc.secret"
    secret.write_text("the client's secret\n")
    oidc = {**SETTINGS["auth.oidc"], "client_secret_file": str(secret)}
    return lab.serve(settings={**SETTINGS, "auth.oidc": oidc})


def browser(folder: Path, user: str) -> Path:
    """A program that openconnect starts with a URL."""
    script = folder / f"browser{user}"
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} {lab.clients.browser.__file__} --user {user} "
        f'--provider {PROVIDER}={SERVER_IPV4}:{PORT} "$1"\n'
    )
    script.chmod(0o755)
    return script


def connect(server: Server, host, script: Path):
    return server.connect(host, f"--external-browser={script}", user="unused")


def test_openconnect_logs_in_with_a_browser(lab, server, tmp_path):
    client = connect(server, lab.host(), browser(tmp_path, "1"))
    client.await_up()
    [session] = server.sessions()
    assert (session["user"], session["groups"]) == ("dora", ["staff"])


def test_a_client_with_a_window_of_its_own_takes_the_cookie_at_the_last_page(lab, server):
    """As AnyConnect and the webview of NetworkManager-openconnect do; openconnect's command line has none."""
    host = lab.host()
    window = pass_window(host, PROVIDER, PORT, "1")
    assert "external" not in window.page.get("sso-v2-browser-mode", "")
    assert not window.error
    answers = [show_token(host, window, other) for other in ("", window.context)]  # that of another login opens nothing
    assert [b'type="complete"' in answer.body for answer in answers] == [False, True]
    cookie = next(value for value in answers[1].headers["set-cookie"] if value.startswith("webvpn="))
    tunnel = open_tunnel(host, cookie.partition(";")[0].partition("=")[2])
    assert isinstance(tunnel, Tunnel)
    assert [one["user"] for one in server.sessions()] == ["dora"]
    tunnel.disconnect()


def test_a_user_without_a_name_and_a_client_without_a_browser_are_told(lab, server, tmp_path):
    refused = connect(server, lab.host(), browser(tmp_path, "2"))
    assert refused.await_exit() != 0
    assert refused.find("The login at the identity provider failed")
    without = server.connect(lab.host(), "--no-xmlpost")
    assert without.await_exit() != 0
    assert without.find("needs a login in the browser")
    assert server.sessions() == []


def bring(host, *headers: str):
    """The answer to a client's first request with these headers."""
    document = '<config-auth client="vpn" type="init"><version who="vpn">1</version></config-auth>'
    lines = ("POST / HTTP/1.1", "Host: vpn.example.org", f"Content-Length: {len(document)}", *headers, "", document)
    with open_tls(host) as stream:
        stream.sendall("\r\n".join(lines).encode())
        return read_answer(stream)


def test_a_token_that_the_client_brings_along_opens_a_tunnel(lab, tmp_path):
    issuer, key = f"http://{PROVIDER}", RSAKey.generate_key(2048, {"kid": "one"})
    (tmp_path / "metadata").write_text(json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}))
    (tmp_path / "jwks").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "--directory",
        str(tmp_path),
        "--bind",
        "127.0.0.1",
        str(PORT),
    ]
    provider = Program("provider", command, lab.network.gateway)
    lab.network.programs.append(provider)
    provider.await_line("Serving HTTP")
    bearer = {"configuration_url": f"{issuer}/metadata", "audience": "vpn"}
    required = {"auth.bearer.required_claims": {"tenant": 7}}
    server = lab.serve(settings={"auth": {"methods": ["bearer"]}, "auth.bearer": bearer, **required})
    host, claims = lab.host(), {"iss": issuer, "aud": "vpn", "preferred_username": "dora", "tenant": 7}

    def token(**changes):
        return jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, "exp": time.time() + 600, **changes}, key)

    asked = bring(host)
    assert (asked.status, asked.first("www-authenticate")) == (401, "Bearer")
    assert bring(host, f"Authorization: Bearer {token(tenant=8)}").status == 401
    accepted = bring(host, f"Authorization: Bearer {token()}")
    cookie = next(value for value in accepted.headers["set-cookie"] if value.startswith("webvpn="))
    tunnel = open_tunnel(host, cookie.partition(";")[0].partition("=")[2])
    assert isinstance(tunnel, Tunnel)
    assert [one["user"] for one in server.sessions()] == ["dora"]
    tunnel.disconnect()
