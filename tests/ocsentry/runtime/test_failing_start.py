# SPDX-License-Identifier: GPL-3.0-or-later
"""A system call fails while the server starts: it ends with one line that says what failed, and leaves nothing behind.

strace(1) makes the first call of that kind fail, in the server or in its helper.
namespace: lo, the TUN device that a server makes
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from tests.ocsentry.command_line import OCSENTRY, CommandLine
from tests.ocsentry.served import Served, links, serving

pytestmark = pytest.mark.netns
TUN = ("-P", "/dev/net/tun")
FAILING = {  # by call: its error, the files that it concerns, and words of the message
    "flock": ("ENOLCK", (), "No locks available"),
    "socketpair": ("EMFILE", (), "helper process cannot be started: Too many open files"),
    "vfork,clone": ("EAGAIN", (), "helper process cannot be started: Resource temporarily unavailable"),
    "openat": ("ENODEV", TUN, "process.landlock: the rules cannot be applied: /dev/net/tun: No such device"),
    "ioctl": ("EBUSY", TUN, "TUN device ocs0: Device or resource busy"),
    "bind": ("EADDRINUSE", (), "cannot listen on"),
    "listen": ("EADDRINUSE", (), "cannot listen on [::]:443: Address already in use"),
    "landlock_create_ruleset": ("EPERM", (), "SystemCallFilter=landlock_create_ruleset"),
    "landlock_restrict_self": ("E2BIG", (), "process.landlock"),
    "seccomp": ("EINVAL", (), "worker 0 does not start: Invalid argument"),
    "eventfd2": ("EMFILE", (), "out of memory or descriptors"),
    "clone3": ("EAGAIN", (), "thread"),
}


@pytest.fixture(scope="module")
def namespace():
    claim = Claim()
    yield Namespace.create(claim.name("start")).name
    claim.release()


@pytest.fixture(scope="module")
def command_line(tmp_path_factory, initialised):
    folder = tmp_path_factory.mktemp("start") / "server"
    shutil.copytree(initialised, folder)
    return CommandLine(folder)


def processes(namespace):
    said = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True)
    return [int(pid) for pid in said.stdout.split()]


def start(command_line, namespace, record, call):
    """Returns the finished server, of which the first ``call`` failed."""
    error, files, _ = FAILING[call]
    trace = ["strace", "-f", "-o", record, *files, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when=1"]
    try:
        return subprocess.run(
            ["ip", "netns", "exec", namespace, *trace, OCSENTRY, "serve"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT / 2,
            env=command_line.environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        for pid in processes(namespace):  # strace has left it to itself
            os.kill(pid, signal.SIGKILL)
        raise


@pytest.mark.parametrize("call", FAILING)
def test_it_refuses_in_words_and_leaves_nothing(command_line, namespace, tmp_path, call):
    done = start(command_line, namespace, tmp_path / "calls", call)
    assert done.returncode == 1, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert [line for line in said if line.startswith("ocsentry: ")] == said[-1:], done.stderr
    assert FAILING[call][2] in said[-1], said
    assert "(INJECTED)" in (tmp_path / "calls").read_text()
    assert "Traceback" not in done.stdout + done.stderr
    assert "ocs0" not in links(namespace)
    assert not (command_line.folder / "admin.sock").exists()
    assert processes(namespace) == []


def test_the_next_server_starts(command_line, namespace):
    """None of the failed starts is in its way."""
    with serving(Served(command_line, namespace)) as server:
        assert server.stop() == 0
