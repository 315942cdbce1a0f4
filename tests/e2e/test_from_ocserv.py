# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on the files of ocserv: logins as before, and a move from Debian's ocserv under its clients.

host n 10.77.n.2 ── vn ── gateway 10.77.0.1, `ocsentry serve --ocserv-conf` or ocserv
"""

from __future__ import annotations

import os
import signal
from urllib.parse import quote

from lab.clients.openconnect import OpenConnect
from lab.services.ocserv import PASSWORD, OcservFiles, stop
from lab.timeouts import eventually

CLIENTS = int(os.environ.get("OCSENTRY_TUNNELS", "5"))  # 50 before a release


def connect(files, host, *arguments, user, password=PASSWORD):
    client = OpenConnect(host, *arguments, pin=files.pin, user=user, password=password)
    files.network.programs.append(client)
    return client


def test_logins_on_the_files_of_ocserv(lab, template, tmp_path):
    groups = {"select-group": "staff[Our staff]", "pre-login-banner": '"' + 100 * "%" + '"', "banner": "Welcome"}
    groups["custom-header"] = "X-CSTP-For: %{{U}} of %{{G}}"
    files = OcservFiles(lab.network, tmp_path / "etc", template.certificate, groups)
    users = ["alice", "sp@c/al", "DOMAIN\\bob", ".dot", "two words"]
    for user in users:
        files.add_user(user, "-g", "staff")
    files.add_user("locked")
    files.add_user("locked", "-l")
    pid_file = tmp_path / "pid"
    program = files.launch_server("-f", "-d", "2", "--pid-file", str(pid_file))
    host = lab.host()
    pid = int(eventually(lambda: pid_file.read_text() if pid_file.exists() else "", str.strip, "written"))
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        os.kill(pid, number)  # while it starts
    program.await_line(r'"event": ?"certificate_reloaded"')
    assert files.occtl_socket.is_socket()

    for user in users:
        client = connect(files, host, "--authgroup=Our staff", "--verbose", user=user)
        given = client.await_up()
        assert (given.ipv4.rpartition(".")[0], given.dns) == ("10.88.0", "10.88.0.1"), user
        assert 100 * "%" in client.output
        assert f"X-CSTP-For: {quote(user, safe='@')} of staff" in client.output
        assert client.ping(files.inner_ipv4) == 1
        client.goodbye()
    for user, password in (("alice", "wrong"), ("locked", PASSWORD), ("nobody", PASSWORD)):
        assert connect(files, host, "--authgroup=Our staff", user=user, password=password).await_exit() != 0, user

    lines = files.configuration.read_text()
    files.configuration.write_text(lines.replace("dpd = 90", "dpd = 77") + "nonsense\n")
    os.kill(pid, signal.SIGHUP)
    program.await_line(r"configuration_refused.*ocserv\.conf:\d+: nonsense is not KEY = VALUE")
    files.configuration.write_text(lines.replace("dpd = 90", "dpd = 77"))
    os.kill(pid, signal.SIGHUP)
    program.await_line(r"configuration_reloaded.*vpn\.session\.dpd")
    client = connect(files, host, "--authgroup=Our staff", user="alice")
    client.await_up()
    assert "DPD 77" in client.output
    client.goodbye()

    stop(program)
    assert not pid_file.exists() or not pid_file.read_text()


def test_a_move_from_ocserv_and_back(lab, template, tmp_path):
    """All clients come back with one login each."""
    files = OcservFiles(lab.network, tmp_path / "etc", template.certificate)
    hosts = {f"user{number}": lab.host() for number in range(CLIENTS)}
    for user in hosts:
        files.add_user(user)
    before = files.configuration.read_bytes(), files.passwords.read_bytes()

    clients = []
    for start in (files.start_ocserv, files.start_server, files.start_ocserv):
        program = start()
        for client in clients:  # reconnects by itself, and ends: its cookie is the other server's
            client.await_exit()
        clients = [connect(files, host, user=user) for user, host in hosts.items()]
        addresses = {client.await_up().ipv4 for client in clients}
        assert len(addresses) == CLIENTS
        assert [client.ping(files.inner_ipv4) for client in clients] == [1] * CLIENTS
        program.signal(signal.SIGTERM)
        program.await_exit()
    assert (files.configuration.read_bytes(), files.passwords.read_bytes()) == before
