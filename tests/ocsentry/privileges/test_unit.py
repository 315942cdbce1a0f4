# SPDX-License-Identifier: GPL-3.0-or-later
"""The units for systemd: how exposed the server's is, and that a server without any capability works as they start it.

namespace: lo, the TUN device that the helper makes, nothing else
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from lab.namespaces import Claim, Namespace
from lab.processes.other_user import readable_by_all
from lab.timeouts import TIMEOUT
from tests.ocsentry.command_line import OCSENTRY, CommandLine
from tests.ocsentry.privileges.separate_user import USER, own, threads
from tests.ocsentry.served import Served, configure, links

STARTER = Path(__file__).parents[3] / "ocsentry" / "starter"
MAX_EXPOSURE = 1.5


def settings(unit):
    lines = (STARTER / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_exposes_little():
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", STARTER / "ocsentry.service"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    found = re.search(r"Overall exposure level for ocsentry.service: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= MAX_EXPOSURE, said


@pytest.mark.parametrize(
    ("name", "program"), [("helper", "ocsentry.privileges.helper"), ("pam", "ocsentry.privileges.pam")]
)
def test_server_and_helpers_meet(name, program):
    server, helper, connection = map(
        settings, ("ocsentry.service", f"ocsentry-{name}@.service", f"ocsentry-{name}.socket")
    )
    sockets = [word.partition("=")[2] for word in server["Environment"].split()]
    assert connection["ListenSequentialPacket"] in sockets
    assert (server["User"], server["CapabilityBoundingSet"]) == (connection["SocketUser"], "")
    assert (connection["SocketMode"], connection["Accept"]) == ("0600", "yes")
    assert helper["ExecStart"].split()[1:4] == ["-I", "-m", program]
    assert helper["ExecStart"].split()[-1] == server["ExecStart"].split()[-1]
    assert helper["StandardInput"] == "socket"


def test_the_sockets_are_named_to_the_server():
    named = dict(word.split("=") for word in settings("ocsentry.service")["Environment"].split())
    assert named.keys() == {"OCSENTRY_HELPER", "OCSENTRY_PAM_HELPER"}


class Activated(Served):
    """The server as the unit starts it: another user, no capability; each connection to the socket gets a helper."""

    def command(self, namespace):
        folder = self.command_line.folder
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(folder / "helper"))
        (folder / "helper").chmod(0o666)
        self.listener.listen()
        self.helpers = []
        self.accepting = threading.Thread(target=self.accept, args=(namespace,), daemon=True)
        self.accepting.start()
        self.command_line.environment["OCSENTRY_HELPER"] = str(folder / "helper")
        capabilities = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        become = ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", *capabilities]
        return ["ip", "netns", "exec", namespace, *readable_by_all(folder), *become, OCSENTRY, "serve"]

    def accept(self, namespace):
        connection, _ = self.listener.accept()
        program = [sys.executable, "-I", "-m", "ocsentry.privileges.helper", "0", str(self.command_line.config)]
        self.helpers.append(subprocess.Popen(["ip", "netns", "exec", namespace, *program], stdin=connection))
        connection.close()


@pytest.mark.netns
def test_a_server_without_any_capability_serves_by_its_helper(initialised):
    claim = Claim()
    namespace = Namespace.create(claim.name("unit")).name
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        folder = Path(top) / "server"
        shutil.copytree(initialised, folder)
        configure(folder, process={"seccomp": "kill"})
        own(folder)
        command_line = CommandLine(folder)
        (folder / "ocsentry.toml").chmod(0o644)
        server = Activated(command_line, namespace)
        (folder / "notify").chmod(0o777)
        try:
            server.await_event("ready")
            assert "ocs0" in links(namespace)
            found = threads(server.process.pid)
            assert {int(status[name], 16) for status in found.values() for name in ("CapPrm", "CapBnd", "CapInh")} == {
                0
            }
            assert command_line.json("status")["ready"]
            assert server.stop() == 0
            assert "ocs0" not in links(namespace)
            assert server.helpers[0].wait(TIMEOUT) == 0
        finally:
            server.process.kill()
            server.process.wait(TIMEOUT)
            server.listener.close()
            server.notify.close()
            claim.release()
