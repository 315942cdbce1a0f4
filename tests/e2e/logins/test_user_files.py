# SPDX-License-Identifier: GPL-3.0-or-later
"""Users in files of ocserv, changed by Debian's ``ocpasswd`` while the server runs.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import subprocess

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT

NAME = "staff.example.org"


def change_passwords(path, *arguments, password=None):
    given = "" if password is None else f"{password}\n"
    subprocess.run(["ocpasswd", "-c", path, *arguments], input=given, text=True, check=True, timeout=10)


def test_a_change_by_ocpasswd_counts_at_the_next_login(lab, tmp_path):
    """The server runs with ``seccomp = "kill"``: no check of a hash may start a program."""
    path = tmp_path / "ocpasswd"
    change_passwords(path, "-g", "staff", "dave", password="first")
    settings, vpn = tmp_path / "users", {"user_config_dir": str(tmp_path / "users")}
    settings.mkdir()
    (settings / "dave").write_text("explicit-ipv4 = 10.91.0.7\nroute = 10.55.0.0/16\nroute = 192.168.99.0/24\n")
    server = lab.serve(settings={"auth": {"ocpasswd_file": str(path)}, "vpn": vpn})
    host = lab.host()
    client = server.connect(host, user="dave", password="first")
    client.await_up()
    [session] = server.sessions()
    assert (session["user"], session["groups"], session["ipv4"]) == ("dave", ["staff"], "10.91.0.7")
    assert session["network"]["routes"] == ["10.55.0.0/16", "192.168.99.0/24"]
    assert " 0% packet loss" in host.namespace.run("ping", "-n", "-c2", "-i0.2", "-W2", INNER_IPV4, check=False)
    client.goodbye()
    change_passwords(path, "dave", password="second")
    assert server.connect(host, user="dave", password="first").await_exit() != 0
    (settings / "dave").write_text("ipv4-network = 10.9.0.0\nipv4-netmask = 255.255.255.0\n")
    again = server.connect(host, user="dave", password="second")
    again.await_up()
    assert "10.9.0.2" in [session["ipv4"] for session in server.sessions()], "of the user's own pool"
    host.namespace.run("ping", "-n", "-c1", "-i0.2", "-w", str(int(TIMEOUT)), INNER_IPV4)  # until the first answer


def test_users_of_one_host_cannot_log_in_at_another(lab, tmp_path):
    own, staff = tmp_path / "ocpasswd", tmp_path / "staff.ocpasswd"
    change_passwords(own, "dave", password="first")
    change_passwords(staff, "erin", password="second")
    settings = tmp_path / "staff"
    settings.mkdir()
    (settings / "erin").write_text("route = 10.55.0.0/16\n")
    server = lab.serve(
        settings={
            "auth": {"ocpasswd_file": str(own)},
            "[vpn.host]": {"name": NAME, "user_config_dir": str(settings)},
            "vpn.host.auth": {"ocpasswd_file": str(staff)},
        },
        builtin_limits=False,
    )
    host, at_host = lab.host(), {"server": NAME}
    resolve = f"--resolve={NAME}:{SERVER_IPV4}"
    client = server.connect(host, resolve, user="erin", password="second", **at_host)
    client.await_up()
    [session] = server.sessions()
    assert (session["user"], session["network"]["routes"]) == ("erin", ["10.55.0.0/16"])
    client.goodbye()
    assert server.connect(host, resolve, user="dave", password="first", **at_host).await_exit() != 0
    assert server.connect(host, user="erin", password="second").await_exit() != 0
    server.connect(host, user="dave", password="first").await_up()
