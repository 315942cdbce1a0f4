# SPDX-License-Identifier: GPL-3.0-or-later
"""A running server of which every second call of one kind fails: it goes on, and its policy is no wider.

strace(1) makes the calls of all threads fail, also those of the native workers.
namespace: lo with 10.9.0.1 (the server's), 10.9.0.2 (blocked) and 10.9.0.3, the TUN device that the server makes
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT, eventually
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving

pytestmark = pytest.mark.netns
SERVER, BLOCKED, CLIENT = "10.9.0.1", "10.9.0.2", "10.9.0.3"
HELLO = bytes.fromhex("16fefd0000000000000000000301000000")
FAILING = {
    "accept4": "EMFILE",
    "epoll_ctl": "ENOMEM",
    "mmap": "ENOMEM",
    "openat": "EMFILE",
    "recvfrom": "ENOBUFS",
    "recvmmsg": "ENOMEM",
    "sendmsg": "ENOBUFS",
    "sendto": "ENOBUFS",
}
TRIES = 6


@pytest.fixture(scope="module")
def namespace():
    claim = Claim()
    made = Namespace.create(claim.name("call"))
    made.ip(*(f"addr add {address}/32 dev lo" for address in (SERVER, BLOCKED, CLIENT)))
    yield made
    claim.release()


@pytest.fixture(scope="module")
def served(tmp_path_factory, initialised, namespace):
    folder = tmp_path_factory.mktemp("calls") / "server"
    shutil.copytree(initialised, folder)
    command_line = CommandLine(folder)
    text = re.sub(r'(?m)^listen = "\S*443"$', 'listen = "*:443"', command_line.config.read_text(), count=1)
    command_line.config.write_text(text)
    with serving(Served(command_line, namespace.name)) as server:
        command_line.json("block", BLOCKED)
        yield server


@contextlib.contextmanager
def failing(pid, call, error, record):
    """Every second ``call`` of the process fails in the block. strace has attached by then; it writes ``record``."""
    command = ["strace", "-f", "-p", str(pid), "-o", record, "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:error={error}:when=1+2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert "attached" in tracer.stderr.readline()
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
            tracer.wait(TIMEOUT)


def shakes_hands(namespace, source, timeout=2.0):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with namespace.connect((SERVER, 443), timeout=timeout, source=source) as stream:
            context.wrap_socket(stream, server_hostname="vpn.example.org").close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("call", sorted(FAILING))
def test_the_server_goes_on_and_refuses_as_before(served, namespace, tmp_path, call):
    record = tmp_path / "calls"
    with failing(served.process.pid, call, FAILING[call], record):
        for _ in range(TRIES):
            shakes_hands(namespace, CLIENT)
            assert not shakes_hands(namespace, BLOCKED)
            with namespace.socket(kind=socket.SOCK_DGRAM) as client:
                client.sendto(HELLO, (SERVER, 443))
        served.command_line.run("user", "list")  # over the API, with the database
        served.command_line.run("rules", "reload")  # opens the rule files; what fails leaves the policy as it is
    assert "(INJECTED)" in record.read_text()
    assert served.process.poll() is None
    eventually(lambda: shakes_hands(namespace, CLIENT), bool, "a handshake afterwards")
    assert not shakes_hands(namespace, BLOCKED)
    served.command_line.json("rules", "reload")
    eventually(lambda: served.command_line.json("status")["problems"], lambda found: not found, "ready again")
