# SPDX-License-Identifier: GPL-3.0-or-later
"""No thread and no process more for a running server and its helpers: what needs one fails in words, the rest goes on.

host 1 (a tunnel that pings throughout) ─ v1 ┐
host 2 (logins meanwhile) ─────────────── v2 ┴ gateway 10.77.0.1, `ocsentry serve`, helpers for PAM and hooks

strace(1) makes the calls fail as RLIMIT_NPROC and the limits of control groups do: the helpers are root's, which the
first leaves out. tests/ocsentry/privileges/test_served.py sets the first for the server's own user.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.clients.cstp_client import Tunnel, log_in, login_request, open_tunnel, read_answer
from lab.server import INNER_IPV4, OCSENTRY, PASSWORD
from lab.services import pam
from lab.timeouts import TIMEOUT, eventually
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import open_tls

CALLS = "fork,vfork,clone,clone3"
TRIAL = {"wolfsentry": {"version": "1.6.3", "rules": []}}


@pytest.fixture
def server(lab, tmp_path):
    """No password was checked yet, no policy tried: their threads do not run."""
    services = pam.PamServices(tmp_path)
    services.write("vpn", "auth required matrix", "account required matrix")
    services.allow("carol", "vpn")
    script = tmp_path / "hook.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    settings = {
        "process": {"seccomp": "errno"},  # strace makes a call fail by taking its number away
        "auth.pam": {"service": "vpn", "timeout": 60},
        "groups.pam.auth": {"methods": ["pam"]},
        "vpn.hooks": {"connect": [str(script)]},
    }
    with services.activated(tmp_path / "server0" / "ocsentry.toml") as helper:
        served = lab.serve(
            settings=settings, builtin_limits=False, launcher=["env", f"OCSENTRY_PAM_HELPER={helper}", OCSENTRY]
        )
        yield served
        served.finish()


def children(server):
    """The helpers for PAM, which pytest started, and for hooks."""
    found = []
    for pid in (server.program.process.pid, os.getpid()):
        for child in Path(f"/proc/{pid}/task").glob("*/children"):
            for number in child.read_text().split():
                words = Path(f"/proc/{number}/cmdline").read_bytes()
                if b"ocsentry.privileges.pam" in words or b"ocsentry.privileges.hooks" in words:
                    found.append(int(number))
    return found


@contextmanager
def no_new_process(pids, record):
    """Every call of these that makes a thread or process fails in the block."""
    named = [word for pid in pids for word in ("-p", str(pid))]
    fault = f"inject={CALLS}:error=EAGAIN"
    command = ["strace", "-f", *named, "-o", record, "-e", f"trace={CALLS}", "-e", fault]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            for _ in pids:
                assert "attached" in tracer.stderr.readline()
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
            tracer.wait(TIMEOUT)


def log_in_by_pam(host):
    """Returns carol's cookie, or an empty text."""
    with open_tls(host) as stream:
        stream.sendall(login_request("carol", PASSWORD).replace(b"POST /auth ", b"POST /pam "))
        cookies = read_answer(stream).headers.get("set-cookie", [])
    return next((found[1] for text in cookies if (found := re.match("webvpn=([^;]+)", text))), "")


def enters(host, cookie):
    """True if the cookie of a login opens a tunnel that answers."""
    opened = open_tunnel(host, cookie)
    assert isinstance(opened, Tunnel), opened
    answered = opened.answers()
    opened.disconnect()
    return answered


def test_what_needs_a_thread_or_process_fails_in_words(lab, server, tmp_path):
    call = server.api.call
    server.api.expect(200, "PATCH", "/api/v1/users/carol", {"groups": ["pam"]})
    canary = server.connect(lab.host(), user="carol", path="pam")
    canary.await_up()
    pings = ContinuousPing(canary, INNER_IPV4)
    pings.await_replies(5)
    host, record = lab.host(), tmp_path / "calls"
    cookie = log_in_by_pam(host)
    with no_new_process([server.program.process.pid, *children(server)], record):
        assert log_in_by_pam(host) == ""
        assert log_in(host, "bob", PASSWORD) == ""
        assert open_tunnel(host, cookie).status == 503
        status, answer = call("POST", "/api/v1/policy/check", TRIAL)
        assert (status, answer["code"]) == (503, "unavailable")
        assert "no thread" in answer["detail"]
        # What the server has at its start is enough for these.
        assert call("PATCH", "/api/v1/users/bob", {"password": PASSWORD})[0] == 200
        assert call("POST", "/api/v1/blocks", {"cidr": "203.0.113.7"})[0] == 201
        server.cli("rules", "reload")
        assert [session["user"] for session in server.sessions()] == ["carol"]
        assert call("GET", "/readyz")[0] == 200
    assert record.read_text().count("(INJECTED)") >= 4
    server.program.await_line("no process can be started: Resource temporarily unavailable")
    server.program.await_line("no thread can be started to check passwords")
    server.program.await_line("hook.sh cannot be started: .* Resource temporarily unavailable")
    assert enters(host, log_in_by_pam(host))
    assert enters(host, log_in(host, "bob", PASSWORD))
    assert call("POST", "/api/v1/policy/check", TRIAL)[0] == 200
    killed_helpers_cost_only_what_needs_them(server, host)
    pings.await_replies(pings.replies + 5)
    assert pings.missing() == []


def killed_helpers_cost_only_what_needs_them(server, host):
    """The last that can be done with this server: it starts no helper again."""
    for pid in children(server):
        os.kill(pid, signal.SIGKILL)
    consequences = ("logins by PAM fail", "connect hooks refuse")
    eventually(lambda: server.cli("status", "--json"), lambda said: all(one in said for one in consequences), "told")
    for name, consequence in zip(("PAM helper", "hook helper"), consequences, strict=True):
        server.program.await_line(f"helper_lost.*{name}.*{consequence}")
    assert server.api.call("GET", "/readyz")[0] == 503
    assert log_in_by_pam(host) == ""
    cookie = log_in(host, "bob", PASSWORD)
    assert cookie
    assert open_tunnel(host, cookie).status == 503  # its connect hook cannot run
    server.program.await_line("the PAM helper is gone")
    server.program.await_line("the hook helper is gone")
    assert [session["user"] for session in server.sessions()] == ["carol"]
