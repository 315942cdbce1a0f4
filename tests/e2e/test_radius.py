# SPDX-License-Identifier: GPL-3.0-or-later
"""The real client logs in by RADIUS: Debian's FreeRADIUS runs beside the server, in the gateway's namespace.

host ── eth0 ─── gateway: ocsentry serve ── 127.0.0.1:1812 freeradius
"""

from __future__ import annotations

import pytest

from lab.freeradius import PASSWORD, FreeRadius


@pytest.fixture
def freeradius(lab, tmp_path):
    made = FreeRadius(tmp_path / "raddb", lab.network.gateway)
    lab.network.programs.append(made.program)
    return made


def settings(freeradius, **auth):
    server = {"address": f"127.0.0.1:{freeradius.port}", "secret_file": str(freeradius.secret_file)}
    return {
        "auth": {"methods": ["radius"], **auth},
        "auth.radius": {"group_config": True},
        "[auth.radius.servers]": server,
    }


def test_groups_and_settings_of_the_server(lab, freeradius):
    server = lab.serve(settings=settings(freeradius))
    inside = server.connect(lab.host()).await_up()
    assert inside.ipv4 == "192.168.99.77"
    (session,) = server.sessions()
    assert (session["user"], session["groups"]) == ("alice", ["staff", "ops"])
    assert "User-Password" in freeradius.program.output
    assert PASSWORD not in server.program.output


def test_a_challenge_round(lab, freeradius):
    server = lab.serve(settings=settings(freeradius))
    client = server.connect(lab.host(), user="otp", password=f"{PASSWORD}\n{PASSWORD}1")
    client.await_up()
    assert client.find(r"Code\?")
    assert server.sessions()[0]["user"] == "otp"


def test_a_wrong_password_and_a_wrong_code_are_told(lab, freeradius):
    server = lab.serve(settings=settings(freeradius, attempts=1))
    host = lab.host()
    for user, answers in (("alice", "wrong"), ("otp", f"{PASSWORD}\nwrong")):
        client = server.connect(host, user=user, password=answers)
        assert client.await_exit() != 0
        assert client.find("wrong username or password")
    assert server.sessions() == []
