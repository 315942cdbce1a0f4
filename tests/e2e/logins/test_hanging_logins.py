# SPDX-License-Identifier: GPL-3.0-or-later
"""Many logins at once by every method, while each outside server hangs: only its own users wait.

host 1 10.77.1.2 (canary, logins), host 2 10.77.2.2 (logins that hang) ── gateway 10.77.0.1, `ocsentry serve`
    loopback of the gateway: RADIUS, LDAP and a provider that take and never answer; a PAM module that sleeps
OCSENTRY_LOGINS: logins at once by each method (1000 before a release).
"""

from __future__ import annotations

import os
import re
import select
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from urllib.parse import urlsplit

import pytest

from lab.authority import Authority
from lab.clients.cstp_client import log_in, login_request, read_answer
from lab.server import INNER_IPV4, OCSENTRY, PASSWORD
from lab.services import pam
from lab.timeouts import time_limit
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import open_tls

LOGINS = int(os.environ.get("OCSENTRY_LOGINS", "30"))
THREADS = 16
HANGING = ("radius", "ldap", "pam", "oidc")
HANG = 100  # seconds that the server waits for each; longer than all that is asserted here
LATE = 0.05  # seconds: a round trip of the canary, 99 of 100
PROMPT = 1.0  # seconds: a login by another method
SSO = (
    '<config-auth client="vpn" type="init"><capabilities><auth-method>single-sign-on-v2</auth-method></capabilities>'
    "</config-auth>"
)


@pytest.fixture
def silent(lab):
    """Ports of the gateway's loopback that take everything and answer nothing."""
    with ExitStack() as opened, lab.network.gateway.entered():
        ports = {}
        for name, kind in (("radius", socket.SOCK_DGRAM), ("ldap", socket.SOCK_STREAM), ("oidc", socket.SOCK_STREAM)):
            made = opened.enter_context(socket.socket(socket.AF_INET, kind))
            made.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                made.listen(4096)
            ports[name] = made.getsockname()[1]
        yield ports


@pytest.fixture
def server(lab, silent, tmp_path):
    authority = Authority(tmp_path / "ca")
    for name in ("radius.secret", "ldap.password"):
        (tmp_path / name).write_text("secret")
    script = tmp_path / "sleep"
    script.write_text("#!/bin/sh\nexec sleep 100000\n")
    script.chmod(0o755)
    services = pam.PamServices(tmp_path)
    services.write("vpn", f"auth required pam_exec.so {script}", "account required matrix")
    settings = {
        "vpn.limits": {"max_clients": 1024 + 16 * LOGINS, "max_same_clients": 0},
        "auth": {"timeout": 240},
        "auth.certificate": {"ca": str(authority.file)},
        "auth.ldap": {"url": f"ldap://127.0.0.1:{silent['ldap']}", "base": "dc=lab", "start_tls": True, "timeout": 60},
        "auth.oidc": {"issuer": f"http://127.0.0.1:{silent['oidc']}", "client_id": "vpn"},
        "auth.pam": {"service": "vpn", "timeout": HANG},
        "auth.radius": {"timeout": HANG, "retries": 1},
        "[auth.radius.servers]": {
            "address": f"127.0.0.1:{silent['radius']}",
            "secret_file": str(tmp_path / "radius.secret"),
        },
        **{f"groups.{name}.auth": {"methods": [name]} for name in (*HANGING, "certificate")},
    }
    with services.activated(tmp_path / "server0" / "ocsentry.toml") as helper:
        launcher = ["env", f"OCSENTRY_PAM_HELPER={helper}", OCSENTRY]
        served = lab.serve(settings=settings, builtin_limits=False, launcher=launcher)
        served.authority = authority
        yield served
        served.finish()


def begin(host, method, number):
    """A login that waits for the outside server. Returns its connection."""
    if method == "oidc":
        with open_tls(host) as stream:
            stream.sendall(post("/oidc", SSO))
            login = re.search(rb"<sso-v2-login>([^<]*)<", read_answer(stream).body)
        assert login is not None
        url = urlsplit(unescape(login[1].decode()))
        stream = open_tls(host)
        stream.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: vpn.example.org\r\n\r\n".encode())
        return stream
    stream = open_tls(host)
    stream.sendall(login_request(f"user{number}", PASSWORD).replace(b"POST /auth ", f"POST /{method} ".encode()))
    return stream


def post(path, body):
    return f"POST {path} HTTP/1.1\r\nHost: vpn.example.org\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def count_answered(streams):
    ready = select.poll()  # select() takes no descriptor above 1023
    for stream in streams:
        ready.register(stream, select.POLLIN)
    return len(ready.poll(0))


def timed(work):
    began = time.monotonic()
    result = work()
    return result, time.monotonic() - began


def test_a_hanging_server_costs_only_its_own_users(lab, server):
    server.api.expect(200, "PATCH", "/api/v1/users/carol", {"groups": ["certificate"]})
    host, crowd = lab.host(), lab.host()
    canary = server.connect(host)
    canary.await_up()
    pings = ContinuousPing(canary, INNER_IPV4)
    pings.await_replies(10)
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool, ExitStack() as kept:
        waiting = {
            method: [pool.submit(begin, crowd, method, number) for number in range(LOGINS)] for method in HANGING
        }
        crowds = {method: [kept.enter_context(one.result()) for one in found] for method, found in waiting.items()}
        answered = {method: count_answered(found) for method, found in crowds.items()}
        others = [pool.submit(timed, lambda: log_in(host, "bob", PASSWORD)) for _ in range(LOGINS)]
        passed = [one.result() for one in others]
        certificate = server.authority.issue("carol").arguments
        by_certificate = server.connect(host, *certificate, "--cookieonly", path="certificate", password="")
        assert by_certificate.await_exit() == 0
        times = pings.round_trips(began)
        assert pings.missing() == []
    assert all(cookie for cookie, _ in passed)
    assert statistics.median(seconds for _, seconds in passed) < time_limit(PROMPT)
    assert statistics.quantiles(times, n=100)[98] < time_limit(LATE)
    # What is over the bounds of a method is told so at once; the others still wait.
    assert all(count < len(crowds[method]) for method, count in answered.items()), answered
    assert server.sessions()[0]["user"] == "alice"
