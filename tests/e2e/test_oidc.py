# SPDX-License-Identifier: GPL-3.0-or-later
"""A user logs in at an identity provider: openconnect opens a browser and waits for it on its loopback.

host ── eth0 10.77.1.2 ─────────── v1 ── gateway 10.77.0.1
  ├── openconnect, browser                ├── ocsentry
  └── [::1]:29786                         └── provider 0.0.0.0:9400, issuer http://127.0.0.1:9400
"""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lab.clients.browser
from lab.clients.browser import fetch
from lab.clients.cstp_client import Tunnel, open_tunnel, read_answer
from lab.network import SERVER_IPV4
from lab.processes.programs import Program
from lab.traffic.probes import open_tls

if TYPE_CHECKING:
    from lab.server import Server

INIT = (
    '<config-auth client="vpn" type="init"><capabilities><auth-method>single-sign-on-v2</auth-method></capabilities>'
    "</config-auth>"
)
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
    host, agent = lab.host(), "User-Agent: AnyConnect Linux_64 4.10.07073"
    with open_tls(host) as stream:
        stream.sendall(post(INIT, agent))
        asked = read_answer(stream)
    page = {name: unescape(value) for name, value in re.findall(r"<(sso-v2-[a-z-]+)>([^<]*)<", asked.body.decode())}
    assert "external" not in page.get("sso-v2-browser-mode", "")
    cookies: dict[str, str] = {}
    url = page["sso-v2-login"]
    with host.namespace.entered():
        while url != page["sso-v2-login-final"]:
            _, url = fetch(url, cookies, PROVIDER, f"{SERVER_IPV4}:{PORT}", "1")
            assert url, "the window ends at another page"
        status, _ = fetch(url, cookies, PROVIDER, f"{SERVER_IPV4}:{PORT}", "1")
    assert status == 200
    assert not cookies.get(f"{SERVER_IPV4} {page['sso-v2-error-cookie-name']}")
    token = cookies[f"{SERVER_IPV4} {page['sso-v2-token-cookie-name']}"]
    context = next(
        value.partition(";")[0] for value in asked.headers["set-cookie"] if value.startswith("webvpncontext=")
    )
    reply = f'<config-auth client="vpn" type="auth-reply"><auth><sso-token>{token}</sso-token></auth></config-auth>'
    answers = []
    for other in ("", context.partition(";")[0]):  # the token of another login opens nothing
        with open_tls(host) as stream:
            stream.sendall(post(reply, agent, f"Cookie: {other}"))
            answers.append(read_answer(stream))
    assert [b'type="complete"' in answer.body for answer in answers] == [False, True]
    cookie = next(value for value in answers[1].headers["set-cookie"] if value.startswith("webvpn="))
    tunnel = open_tunnel(host, cookie.partition(";")[0].partition("=")[2])
    assert isinstance(tunnel, Tunnel)
    assert [one["user"] for one in server.sessions()] == ["dora"]
    tunnel.disconnect()


def post(body, *headers):
    lines = ["POST / HTTP/1.1", f"Host: {SERVER_IPV4}", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def test_a_user_without_a_name_and_a_client_without_a_browser_are_told(lab, server, tmp_path):
    refused = connect(server, lab.host(), browser(tmp_path, "2"))
    assert refused.await_exit() != 0
    assert refused.find("The login at the identity provider failed")
    without = server.connect(lab.host(), "--no-xmlpost")
    assert without.await_exit() != 0
    assert without.find("needs a login in the browser")
    assert server.sessions() == []
