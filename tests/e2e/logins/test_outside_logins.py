# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that the host's PAM stack and an LDAP directory decide, with the real client.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`; slapd on its loopback, or the PAM helper beside it
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4, OCSENTRY, PASSWORD
from lab.services import directory_server, pam
from lab.services.directory_server import (
    BASE,
    GROUPS,
    HOST,
    PEOPLE,
    SECURE_PORT,
    SERVICE_DN,
    SERVICE_PASSWORD,
    group,
    person,
)

STAFF = "staff.example.org"
WRONG = r"wrong username or password"


@pytest.fixture
def services(tmp_path):
    return pam.PamServices(tmp_path)


@contextmanager
def serving(lab, services, tmp_path, more=None, **keywords):
    """A server whose logins are by PAM's service ``vpn``. It ends before its helper is waited for."""
    settings = {"auth": {"methods": ["pam"]}, "auth.pam": {"service": "vpn", "timeout": 60}, **(more or {})}
    configuration = tmp_path / "server0" / "ocsentry.toml"  # the server's own
    with services.activated(configuration) as socket:
        launcher = ["env", f"OCSENTRY_PAM_HELPER={socket}", OCSENTRY]
        server = lab.serve(settings=settings, launcher=launcher, **keywords)
        try:
            yield server
        finally:
            server.finish()


@pytest.fixture
def serve_pam(lab, services, tmp_path):
    with serving(lab, services, tmp_path) as server:
        yield server


def test_pam_asks_for_password_and_code(lab, services, serve_pam):
    oath = f"auth required pam_oath.so usersfile={services.oath_users} window=5"
    services.write("vpn", "auth requisite matrix", oath, "account required matrix")
    services.allow("pat", "vpn")
    services.enrol("pat")
    host = lab.host()
    client = serve_pam.connect(host, user="pat", password=f"{PASSWORD}\n{services.code()}")
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0
    assert [session["user"] for session in serve_pam.sessions()] == ["pat"]
    client.goodbye()
    refused = serve_pam.connect(host, user="pat", password="wrong\n000000")
    refused.await_line(WRONG)
    assert refused.await_exit() != 0


def test_an_expired_password_is_changed_during_the_login(lab, services, serve_pam):
    services.write(
        "vpn", "auth required matrix", "account required pam_debug.so acct=new_authtok_reqd", "password required matrix"
    )
    services.allow("pat", "vpn")
    new = "a password that is new"
    client = serve_pam.connect(lab.host(), user="pat", password=f"{PASSWORD}\n{PASSWORD}\n{new}\n{new}\n{new}")
    client.await_up()  # it asks for the new password's repetition without sending it, and then the modules ask
    assert f"pat:{new}:vpn" in services.passwords.read_text()


def test_a_host_has_its_own_service_and_sessions_are_opened_and_closed(lab, services, tmp_path):
    log, script = tmp_path / "sessions", tmp_path / "script"
    log.touch()
    script.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $PAM_RHOST $OCSENTRY_SESSION" >> {log}\n')
    script.chmod(0o755)
    for service in ("vpn", "staff"):
        services.write(service, "auth required matrix", "account required matrix")
    services.write("sessions", "account required pam_permit.so", f"session required pam_exec.so {script}")
    services.allow("pat", "vpn")
    services.allow("sam", "staff")
    settings = {
        "[vpn.host]": {"name": STAFF},
        "vpn.host.auth": {"pam_service": "staff"},
        "accounting": {"pam": True, "pam_service": "sessions"},
    }
    host, resolve = lab.host(), f"--resolve={STAFF}:{SERVER_IPV4}"
    with serving(lab, services, tmp_path, settings, builtin_limits=False) as server:
        refused = server.connect(host, resolve, user="pat", password=PASSWORD, server=STAFF)
        refused.await_line("You may not log in now")
        assert refused.await_exit() != 0
        assert log.read_text() == ""
        client = server.connect(host, resolve, user="sam", password=PASSWORD, server=STAFF)
        client.await_up()
        [session] = server.sessions()
        assert log.read_text() == f"open_session sam {session['address']} {session['number']}\n"
        client.goodbye()
    assert log.read_text().splitlines()[1:] == [f"close_session sam {session['address']} {session['number']}"]


def test_a_server_starts_its_own_helper_and_ends_it(lab):
    """With the host's service for names that have none: an unknown user is refused by the host's own modules."""
    server = lab.serve(settings={"auth": {"methods": ["pam"]}, "auth.pam": {"service": "ocsentry-test", "timeout": 60}})
    refused = server.connect(lab.host(), user="nobody-of-that-name", password=PASSWORD)
    refused.await_line(WRONG)
    assert refused.await_exit() != 0
    server.finish()


def test_a_user_of_the_directory_logs_in_over_tls(lab, tmp_path):
    folder = tmp_path / "directory"
    folder.mkdir()
    entries = person("dora", PASSWORD) + group("staff", f"uid=dora,{PEOPLE}")
    (tmp_path / "secret").write_text(SERVICE_PASSWORD)
    with directory_server.running(folder, entries, lab.network.gateway) as directory:
        settings = {
            "auth": {"methods": ["ldap"]},
            "auth.ldap": {
                "url": f"ldaps://{HOST}:{SECURE_PORT}",
                "ca": str(directory.authority),
                "bind_dn": SERVICE_DN,
                "password_file": str(tmp_path / "secret"),
                "base": BASE,
                "group_base": GROUPS,
                "group_filter": "(member=%d)",
                "timeout": 60,
            },
        }
        server = lab.serve(settings=settings)
        host = lab.host()
        client = server.connect(host, user="Dora", password=PASSWORD)
        client.await_up()
        assert client.ping(INNER_IPV4) == 1.0
        (session,) = server.sessions()
        assert (session["user"], session["groups"]) == ("dora", ["staff"])
        client.goodbye()
        for user, password in (("dora", "wrong"), ("nobody", PASSWORD)):
            refused = server.connect(host, user=user, password=password)
            refused.await_line(WRONG)
            assert refused.await_exit() != 0
        directory.stop()
        unavailable = server.connect(host, user="dora", password=PASSWORD)
        server.program.await_line(r"backend_failed.*ldaps://localhost")
        assert unavailable.await_exit() != 0
        server.finish()
