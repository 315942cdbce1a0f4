# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGHUP on the files of ocserv: virtual hosts come and go, logins change, and what waits for a restart is named.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve --ocserv-conf`
"""

from __future__ import annotations

import shutil
import signal

from lab.clients.openconnect import OpenConnect
from lab.server import SERVER_IPV4
from lab.services.ocserv import PASSWORD, OcservFiles, stop
from lab.timeouts import TIMEOUT

NAME = "other.test"
HOST = """
[vhost:{name}]
auth = plain[passwd={folder}/others]
server-cert = {certificate}
server-key = {key}
ipv4-network = 10.89.0.0
ipv4-netmask = 255.255.255.0
"""


def test_sighup_adds_and_removes_hosts_and_changes_logins(lab, template, tmp_path):
    folder = tmp_path / "etc"
    files = OcservFiles(lab.network, folder, template.certificate)
    for user, passwords in (("alice", "passwd"), ("carol", "others"), ("dave", "second")):
        files.passwords = folder / passwords
        files.add_user(user)
    program, host = files.start_server(), lab.host()
    before = files.configuration.read_text()
    pair = {"certificate": template.certificate.chain, "key": template.certificate.key}

    def reload(text, answer):
        files.configuration.write_text(text)
        program.signal(signal.SIGHUP)
        return program.await_line(f"configuration_reloaded.*{answer}").text

    def connect(user, *, server=SERVER_IPV4):
        resolve = () if server == SERVER_IPV4 else (f"--resolve={server}:{SERVER_IPV4}",)
        client = OpenConnect(host, *resolve, pin=files.pin, user=user, password=PASSWORD, server=server)
        files.network.programs.append(client)
        return client

    assert connect("carol").await_exit() != 0
    reload(before + HOST.format(name=NAME, folder=folder, **pair), r'in_force": ?\["vpn.host"\]')
    client = connect("carol", server=NAME)
    assert client.await_up().ipv4.startswith("10.89.0."), "of the host's own pool"
    # Its route is set beside the answer to the client.
    host.namespace.run("ping", "-n", "-c1", "-i0.2", "-w", str(int(TIMEOUT)), files.inner_ipv4)
    client.goodbye()
    assert connect("alice", server=NAME).await_exit() != 0

    changed = before.replace("/passwd]", "/second]").replace("cookie-timeout = 300", "cookie-timeout = 200")
    reload(changed, r'in_force": ?\["auth.ocpasswd_file", "vpn.host", "vpn.session.cookie_timeout"\]')
    assert connect("carol", server=NAME).await_exit() != 0
    assert connect("alice").await_exit() != 0
    client = connect("dave")
    client.await_up()
    client.goodbye()

    far = tmp_path / "far"
    far.mkdir()
    for name, path in pair.items():
        shutil.copy(path, far / name)
    apart = HOST.format(name=NAME, folder=folder, certificate=far / "certificate", key=far / "key")
    told = reload(changed.replace("10.88.0.0", "10.87.0.0") + apart, "ipv4-network")
    lines = changed.splitlines()
    number = next(place for place, line in enumerate(lines, 1) if line.startswith("ipv4-network"))
    assert f"vpn.network.ipv4_pool ({files.configuration}:{number}: ipv4-network)" in told
    assert f"vpn.host ({files.configuration}:{len(lines) + 3}: auth)" in told
    assert f"{far}/" in told
    assert "the start did not know its folder" in told
    client = connect("dave")
    client.await_up()
    client.goodbye()
    stop(program)
