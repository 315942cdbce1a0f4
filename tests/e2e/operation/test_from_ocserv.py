# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on the files of ocserv: logins as before, and a move from Debian's ocserv under its clients.

host n 10.77.n.2 ── vn ── gateway 10.77.0.1, `ocsentry serve --ocserv-conf` or ocserv
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from urllib.parse import quote

from lab.authority import Authority
from lab.clients.openconnect import OpenConnect
from lab.services.ocserv import PASSWORD, OcservFiles, stop
from lab.timeouts import eventually

SAMPLE = Path(os.environ.get("OCSENTRY_OCSERV_SAMPLE", "/etc/ocserv/ocserv.conf"))  # that of Debian's package
CLIENTS = int(os.environ.get("OCSENTRY_TUNNELS", "5"))  # 50 before a release
AT_ONCE = 10  # logins, so that hashes of many passwords on a slow machine are no race


def address_of(number):
    """The address that the files give the user of this number."""
    return f"10.88.200.{number + 1}"


def batched(users, size):
    listed = list(users)
    return [listed[start : start + size] for start in range(0, len(listed), size)]


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


def test_the_sample_of_ocserv_runs(lab, template, tmp_path):
    """With its paths changed, and nothing else."""
    files = OcservFiles(lab.network, tmp_path / "etc", template.certificate)
    paths = {
        "server-cert": template.certificate.chain,
        "server-key": template.certificate.key,
        "ca-cert": Authority(tmp_path / "ca").file,
        "pid-file": files.pid_file,
        "occtl-socket-file": files.occtl_socket,
    }
    text, found = re.sub(r"(?<=\[passwd=)[^]]*", str(files.passwords), SAMPLE.read_text()), []
    for key, path in paths.items():
        text, count = re.subn(rf"(?m)^{key} *=.*", f"{key} = {path}", text)
        found += [key] * bool(count)
    text = "".join(f"{key} = {path}\n" for key, path in paths.items() if key not in found) + text
    files.configuration.write_text(text)
    files.add_user("alice")
    program = files.launch_server("-d", "2")  # its own log level leaves `ready` out
    program.await_line(r'"event": ?"ready"')

    client = connect(files, lab.host(), user="alice")
    given = client.await_up()
    assert (given.ipv4.rpartition(".")[0], given.dns.rpartition(".")[0]) == ("192.168.1", "192.168.1")
    assert client.ping("192.168.1.1") == 1
    client.goodbye()
    stop(program)


def test_a_move_from_ocserv_and_back(lab, template, tmp_path):
    """All clients come back with one login each, and those with an address of their own have it again."""
    fixed = tmp_path / "fixed"
    fixed.mkdir()
    # So large that no address that ocserv chooses is one of the fixed ones: it refuses such a user.
    settings = {"config-per-user": str(fixed), "ipv4-netmask": "255.255.0.0"}
    files = OcservFiles(lab.network, tmp_path / "etc", template.certificate, settings)
    hosts = {f"user{number}": lab.host() for number in range(CLIENTS)}
    for number, user in enumerate(hosts):
        files.add_user(user)
        if number % 2:
            (fixed / user).write_text(f"explicit-ipv4 = {address_of(number)}\n")
    before = files.configuration.read_bytes(), files.passwords.read_bytes()

    clients = []
    for start in (files.start_ocserv, files.start_server, files.start_ocserv):
        program = start()
        for client in clients:  # reconnects by itself, and ends: its cookie is the other server's
            client.await_exit()
        clients, addresses = [], []
        for users in batched(hosts, AT_ONCE):
            clients += [connect(files, hosts[user], user=user) for user in users]
            addresses += [client.await_up().ipv4 for client in clients[-len(users) :]]
        assert len(set(addresses)) == CLIENTS
        assert addresses[1::2] == [address_of(number) for number in range(1, CLIENTS, 2)]
        assert [client.ping(files.inner_ipv4) for client in clients] == [1] * CLIENTS
        program.signal(signal.SIGTERM)
        program.await_exit()
    assert (files.configuration.read_bytes(), files.passwords.read_bytes()) == before
