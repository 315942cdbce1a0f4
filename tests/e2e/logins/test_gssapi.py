# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins with Kerberos tickets, with the real client and Debian's KDC.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve` and its GSSAPI helper; the KDC on loopback beside it
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4, PASSWORD
from lab.services.kdc import PASSWORD as KDC_PASSWORD
from lab.services.kdc import Kdc
from lab.timeouts import eventually
from lab.traffic.continuous_ping import ContinuousPing


@pytest.fixture
def kdc(lab, tmp_path):
    kdc = Kdc(tmp_path / "kdc")
    with kdc.running():
        yield kdc


SERVICE = f"HTTP/{SERVER_IPV4}"


def settings(kdc, *methods, **more):
    return {"auth": {"methods": [*methods]}, "auth.gssapi": {"keytab": str(kdc.add_service(SERVICE)), **more}}


def ticket(kdc, user):
    """The environment of a client with a ticket for the server. The client's host has no way to the KDC."""
    kdc.add_user(user)
    environment = kdc.log_in(user, cache=user)
    kdc.get_service_ticket(SERVICE, environment)
    return [f"{name}={environment[name]}" for name in ("KRB5_CONFIG", "KRB5CCNAME")]


def test_a_ticket_opens_a_tunnel_and_a_client_without_one_gets_the_form(lab, kdc):
    server = lab.serve(settings=settings(kdc, "gssapi", "password"))
    host = lab.host()
    for user in ("alice", "zoe"):  # the directory knows alice only
        client = server.connect(host, user="ignored", password="none", environment=ticket(kdc, user))
        client.await_up()
        assert client.ping(INNER_IPV4) == 1.0
        assert [session["user"] for session in server.sessions()] == [user]
        client.goodbye()
    client = server.connect(host, user="bob", password=PASSWORD)
    client.await_line("No more authentication methods to try")
    client.await_up()
    assert [session["user"] for session in server.sessions()] == ["bob"]
    client.goodbye()
    killed_processes_cost_only_tickets(lab, server, ticket(kdc, "alice"))
    server.finish()


def killed_processes_cost_only_tickets(lab, server, environment):
    """A killed worker is started again. The helper's own end costs nothing until its worker ends as well."""
    canary, host = server.connect(lab.host(), user="bob", password=PASSWORD), lab.host()
    canary.await_up()
    pings = ContinuousPing(canary, INNER_IPV4)
    pings.await_replies(5)
    (helper,) = gssapi_processes(server.program.process.pid)
    (first,) = gssapi_processes(helper)
    os.kill(first, signal.SIGKILL)
    (worker,) = eventually(lambda: gssapi_processes(helper), lambda found: found not in ([], [first]), "a new worker")
    enter_by_ticket(server, host, environment)
    os.kill(helper, signal.SIGKILL)
    enter_by_ticket(server, host, environment)
    assert server.api.call("GET", "/readyz")[0] == 200
    os.kill(worker, signal.SIGKILL)
    server.program.await_line("helper_lost.*GSSAPI helper.*logins with Kerberos tickets fail until the server")
    assert server.api.call("GET", "/readyz")[0] == 503
    assert "GSSAPI helper" in server.cli("status", "--json")
    late = server.connect(host, user="alice", password=PASSWORD, environment=environment)
    server.program.await_line("the GSSAPI helper is gone")
    late.await_up()  # by the form
    late.goodbye()
    pings.await_replies(pings.replies + 5)
    assert pings.missing() == []
    canary.goodbye()


def gssapi_processes(parent):
    """Process ids of its children that run the GSSAPI helper's program."""
    pids = [int(pid) for file in Path(f"/proc/{parent}/task").glob("*/children") for pid in file.read_text().split()]
    return [pid for pid in pids if b"ocsentry.privileges.gssapi" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def enter_by_ticket(server, host, environment):
    client = server.connect(host, user="ignored", password="none", environment=environment)
    client.await_up()
    client.goodbye()


def test_a_client_is_told_why_its_ticket_opens_nothing(lab, kdc):
    server = lab.serve(settings=settings(kdc, "gssapi", realms=["OTHER.ORG"]))
    host = lab.host()
    for environment, words, reason in (
        (ticket(kdc, "alice"), "is of no user of this server", "foreign_realm"),
        ([], "needs a Kerberos ticket", "no_ticket"),
    ):
        since = len(server.program.lines)
        refused = server.connect(host, environment=environment)
        refused.await_line(words)
        server.program.await_line(f"login_refused.*{reason}", since=since)
        assert refused.await_exit() != 0
    server.finish()


@pytest.fixture
def kdc_of_the_gateway(lab, tmp_path):
    """A KDC that the server reaches, and no client."""
    kdc = Kdc(tmp_path / "inner-kdc")
    with ExitStack() as running:
        with lab.network.gateway.entered():
            running.enter_context(kdc.running())
        yield kdc


def test_a_client_gets_its_ticket_over_the_port_of_the_vpn(lab, kdc_of_the_gateway, tmp_path):
    """Its host has no way to the KDC: libkrb5 speaks MS-KKDCP with the server."""
    kdc = kdc_of_the_gateway
    kdc.add_user("alice")
    proxy = {"path": "/KdcProxy", "realm": kdc.realm, "server": f"127.0.0.1:{kdc.port}"}
    server = lab.serve(settings={**settings(kdc, "gssapi"), "[vpn.kdc_proxy]": proxy})
    host, config, cache = lab.host(), tmp_path / "client.conf", tmp_path / "tickets"
    config.write_text(
        f"[libdefaults]\n default_realm = {kdc.realm}\n dns_lookup_kdc = false\n rdns = false\n"
        " dns_canonicalize_hostname = false\n"
        f"[realms]\n {kdc.realm} = {{\n  kdc = https://{SERVER_IPV4}/KdcProxy\n"
        f"  http_anchors = FILE:{server.folder / 'server.crt'}\n }}\n"
    )
    environment = [f"KRB5_CONFIG={config}", f"KRB5CCNAME=FILE:{cache}"]
    host.namespace.run("env", *environment, "kinit", "alice", stdin=f"{KDC_PASSWORD.replace(' ', '_')}\n")
    client = server.connect(host, user="ignored", password="none", environment=environment)
    client.await_up()  # the ticket for the server came the same way
    assert [session["user"] for session in server.sessions()] == ["alice"]
    client.goodbye()
    server.finish()
