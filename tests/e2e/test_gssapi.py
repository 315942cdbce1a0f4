# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins with Kerberos tickets, with the real client and Debian's KDC.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve` and its GSSAPI helper; the KDC on loopback beside it
"""

from __future__ import annotations

import pytest

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4, PASSWORD
from lab.services.kdc import Kdc


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
    server.finish()


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
