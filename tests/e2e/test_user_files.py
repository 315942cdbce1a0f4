# SPDX-License-Identifier: GPL-3.0-or-later
"""Users in files of ocserv, changed by Debian's ``ocpasswd`` while the server runs.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import subprocess


def change_passwords(path, *arguments, password=None):
    given = "" if password is None else f"{password}\n"
    subprocess.run(["ocpasswd", "-c", path, *arguments], input=given, text=True, check=True, timeout=10)


def test_a_change_by_ocpasswd_counts_at_the_next_login(lab, tmp_path):
    """The server runs with ``seccomp = "kill"``: no check of a hash may start a program."""
    path = tmp_path / "ocpasswd"
    change_passwords(path, "-g", "staff", "dave", password="first")
    settings, vpn = tmp_path / "users", {"user_config_dir": str(tmp_path / "users")}
    settings.mkdir()
    (settings / "dave").write_text("explicit-ipv4 = 192.168.99.77\nroute = 10.55.0.0/16\n")
    server = lab.serve(settings={"auth": {"ocpasswd_file": str(path)}, "vpn": vpn})
    host = lab.host()
    client = server.connect(host, user="dave", password="first")
    client.await_up()
    [session] = server.sessions()
    assert (session["user"], session["groups"], session["ipv4"]) == ("dave", ["staff"], "192.168.99.77")
    assert session["network"]["routes"] == ["10.55.0.0/16"]
    client.goodbye()
    change_passwords(path, "dave", password="second")
    assert server.connect(host, user="dave", password="first").await_exit() != 0
    again = server.connect(host, user="dave", password="second")
    again.await_up()
