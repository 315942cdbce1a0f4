# SPDX-License-Identifier: GPL-3.0-or-later
"""The real client logs in by RADIUS: Debian's FreeRADIUS runs beside the server, in the gateway's namespace.

host ── eth0 ─── gateway: ocsentry serve ── 127.0.0.1:1812 freeradius
"""

from __future__ import annotations

import pytest

from lab.server import INNER_IPV4
from lab.services.freeradius import PASSWORD, FreeRadius


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


def test_accounting_is_exact_from_start_to_stop_and_over_a_crash(lab, freeradius):
    accounted = {"accounting": {"radius": True, "interim": 1}, "auth.radius": {"group_config": False}}
    server = lab.serve(settings={**settings(freeradius), **accounted})
    client = server.connect(lab.host())
    client.await_up()
    (session,) = server.sessions()
    (start,) = freeradius.await_accounting(1, "Start")
    assert (start["Acct-Session-Id"], start["User-Name"]) == (session["id"], "alice")
    assert (start["Framed-IP-Address"], start["Acct-Authentic"]) == (session["ipv4"], "RADIUS")
    assert session["id"] in freeradius.program.output.partition("Accounting-Request")[0], "as at the login"
    assert client.ping(INNER_IPV4, count=5) == 1.0
    freeradius.await_accounting(1, "Interim-Update")
    freeradius.kill()
    client.goodbye()
    server.await_sessions(0)
    lab.network.programs.append(freeradius.start())
    (stop,) = freeradius.await_accounting(1, "Stop")
    (ended,) = server.api.get("/api/v1/sessions/history")["items"]
    assert ended["id"] == stop["Acct-Session-Id"] == session["id"]
    assert int(stop["Acct-Input-Octets"]) == ended["rx_bytes"] > 0
    assert int(stop["Acct-Output-Octets"]) == ended["tx_bytes"] > 0
    assert int(stop["Acct-Input-Packets"]) == ended["rx_packets"]
    assert (stop["Acct-Terminate-Cause"], stop["Acct-Input-Gigawords"]) == ("User-Request", "0")
    assert len(freeradius.await_accounting(1, "Start")) == 1


def test_a_killed_server_s_sessions_are_accounted_for_by_the_next(lab, freeradius):
    ending = {"accounting": {"radius": True}, "vpn": {"survive_restart": False}}
    server = lab.serve(settings={**settings(freeradius), **ending})
    server.connect(lab.host()).await_up()
    (start,) = freeradius.await_accounting(1, "Start")
    server.program.kill()
    server.start_again()
    (stop,) = freeradius.await_accounting(1, "Stop")
    assert (stop["Acct-Session-Id"], stop["Acct-Terminate-Cause"]) == (start["Acct-Session-Id"], "NAS-Reboot")


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
