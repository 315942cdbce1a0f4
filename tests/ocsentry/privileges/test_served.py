# SPDX-License-Identifier: GPL-3.0-or-later
"""The real server as another user than root: what the kernel says of it, and that everything still works.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lab.certificates import make_certificate
from lab.processes.other_user import readable_by_all
from lab.timeouts import TIMEOUT
from ocsentry.privileges.capabilities import CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE
from tests.ocsentry.command_line import OCSENTRY, CommandLine
from tests.ocsentry.privileges.separate_user import USER, children, own, threads
from tests.ocsentry.served import Served, configure, links, serving

pytestmark = pytest.mark.netns
HELPER = (1 << CAP_NET_ADMIN) | (1 << CAP_NET_BIND_SERVICE) | (1 << CAP_DAC_READ_SEARCH)


class ServedAsUser(Served):
    """``ocsentry serve`` with ``process.user``, started by root where that user can read the interpreter."""

    def command(self, namespace):
        return ["ip", "netns", "exec", namespace, *readable_by_all(self.command_line.folder), OCSENTRY, "serve"]


@pytest.fixture
def served(initialised, namespace):
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        folder = Path(top) / "server"
        shutil.copytree(initialised, folder)
        configure(
            folder,
            process={"user": USER, "seccomp": "kill", "key_isolation": "on"},
            policy={"feed_networks": ["127.0.0.0/8"]},
        )
        own(folder)
        command_line = CommandLine(folder)
        command_line.environment["SSL_CERT_FILE"] = str(folder / "server.crt")
        server = ServedAsUser(command_line, namespace)
        (folder / "notify").chmod(0o777)
        with serving(server):
            yield server


def test_no_thread_of_the_server_has_a_privilege(served):
    pid = served.process.pid
    served.command_line.json("status")  # so that the pools have threads
    found = threads(pid)
    assert len(found) > 4
    for status in found.values():
        sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert set(sets.values()) == {0}, status
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert set(status["Uid"].split()) == {str(pwd.getpwnam(USER).pw_uid)}
        assert set(status["Gid"].split()) == {str(pwd.getpwnam(USER).pw_gid)}
    workers = [status for status in found.values() if status["Name"].startswith("gateway-")]
    assert {status["Seccomp_filters"] for status in workers} == {"2"}  # the server's, and a narrower one of their own
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0 ", limits)
    assert Path(f"/proc/{pid}/environ").stat().st_uid == 0  # not dumpable: /proc belongs to root


def test_the_helper_has_what_its_verbs_need_and_nothing_else(served):
    (helper,) = children(served.process.pid)
    for status in threads(helper).values():
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == HELPER
        assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_a_key_that_only_root_reads_is_reloaded(served):
    served.told()
    folder = served.command_line.folder
    make_certificate(folder)
    os.chown(folder / "server.key", 0, 0)
    (folder / "server.key").chmod(0o600)
    seen = len(served.lines)
    served.process.send_signal(signal.SIGHUP)
    served.await_event("certificate_reloaded", seen)
    (folder / "server.key").write_text("no key")
    seen = len(served.lines)
    served.process.send_signal(signal.SIGHUP)
    assert "server.key" in served.await_event("certificate_refused", seen)["error"]


def test_rules_blocks_and_users_change_as_before(served):
    cli = served.command_line
    document = {
        "wolfsentry": {
            "version": "1.6.3",
            "rules": [{"id": "new", "type": "blacklist", "remote_addr": "198.51.100.0/24"}],
        }
    }
    seen = len(served.lines)
    (cli.folder / "rules" / "50-new.json").write_text(json.dumps(document))
    assert served.await_event("policy_loaded", seen)["by"] == "file watcher"
    assert cli.json("rules", "explain", "198.51.100.1")["verdict"]["rule_id"] == "new"
    cli.json("block", "203.0.113.0/24", "--reason", "a test")
    assert cli.json("rules", "explain", "203.0.113.9")["verdict"]["action"] == "reject"
    cli.ok("user", "add", "alice", "--password-stdin", stdin="a good password\n")
    assert cli.json("status")["ready"]


def check_policy(served):
    """Returns status and document of a trial of a policy, which has a thread of its own."""
    client = http.client.HTTPConnection("api")
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.connect(str(served.command_line.folder / "admin.sock"))
    body = json.dumps({"wolfsentry": {"version": "1.6.3", "rules": []}})
    client.request("POST", "/api/v1/policy/check", body, {"Content-Type": "application/json"})
    with contextlib.closing(client), client.getresponse() as answer:
        return answer.status, json.load(answer)


def limit_processes(pid, soft):
    """As the server's user: another user needs CAP_SYS_RESOURCE for it, root too."""
    user = pwd.getpwnam(USER)
    command = ["prlimit", "--pid", str(pid), f"--nproc={soft}"]
    subprocess.run(command, user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=True, timeout=TIMEOUT)


def test_the_limit_of_processes_of_its_user(served):
    """RLIMIT_NPROC, which the kernel counts by user. The helpers are root's, whom it leaves out."""
    pid, cli = served.process.pid, served.command_line
    hard = re.search(r"Max processes +\w+ +(\w+)", Path(f"/proc/{pid}/limits").read_text())[1]
    limit_processes(pid, "1:")
    status, answer = check_policy(served)
    assert (status, answer["code"]) == (503, "unavailable")
    assert "no thread" in answer["detail"]
    cli.json("block", "203.0.113.0/24", "--reason", "a test")
    assert cli.json("rules", "explain", "203.0.113.9")["verdict"]["action"] == "reject"
    seen = len(served.lines)
    served.process.send_signal(signal.SIGHUP)
    assert served.await_event("certificate_reloaded", seen)
    assert cli.json("status")["ready"]
    limit_processes(pid, f"{hard}:")
    assert check_policy(served)[0] == 200


PUBLISHER = """
import http.server, ssl, sys
class List(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"198.51.100.0/24\\n203.0.113.0/24\\n")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
server = http.server.HTTPServer(("127.0.0.1", 0), List)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_a_block_list_is_fetched_over_https(served, namespace):
    cli = served.command_line
    pair = [str(cli.folder / name) for name in ("server.crt", "server.key")]
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", PUBLISHER, *pair]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        try:
            url = f"https://localhost:{publisher.stdout.readline().strip()}/list"
            seen = len(served.lines)
            document = {"wolfsentry": {"version": "1.6.3", "feeds": [{"id": "far", "url": url, "refresh_sec": 3600}]}}
            (cli.folder / "rules" / "60-feed.json").write_text(json.dumps(document))
            assert served.await_event("feed_updated", seen)["entries"] == 2
            served.await_event("policy_loaded", seen)
            deadline = time.monotonic() + TIMEOUT
            while cli.json("rules", "explain", "198.51.100.1")["verdict"]["reason"] != "feed":
                assert time.monotonic() < deadline
        finally:
            publisher.kill()


def test_a_stop_removes_device_and_socket(served, namespace):
    (helper,) = children(served.process.pid)
    assert "ocs0" in links(namespace)
    assert served.stop() == 0
    assert "ocs0" not in links(namespace)
    assert not (served.command_line.folder / "admin.sock").exists()
    assert not Path(f"/proc/{helper}").exists()


def test_the_server_goes_on_without_its_helper_and_says_so(served):
    (helper,) = children(served.process.pid)
    seen = len(served.lines)
    os.kill(helper, signal.SIGKILL)
    lost = served.await_event("helper_lost", seen)
    assert (lost["helper"], lost["consequence"][:12]) == ("helper process", "certificates")
    status = served.command_line.json("status")
    assert [problem for problem in status["problems"] if problem.startswith("helper process")]
    seen = len(served.lines)
    served.process.send_signal(signal.SIGHUP)
    assert "helper process is gone" in served.await_event("certificate_refused", seen)["error"]
    assert served.stop() == 0


def test_the_helper_ends_with_the_server(served):
    (helper,) = children(served.process.pid)
    descriptor = os.pidfd_open(helper)
    served.process.kill()
    served.process.wait(TIMEOUT)
    assert select.select([descriptor], [], [], TIMEOUT)[0]
    os.close(descriptor)


def test_a_folder_that_the_user_cannot_write_to_is_named(initialised, namespace, tmp_path):
    folder = tmp_path / "server"
    shutil.copytree(initialised, folder)
    configure(folder, process={"user": USER})
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, OCSENTRY, "serve", "--config", folder / "ocsentry.toml"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1
    assert "store.url: user nobody cannot write to" in done.stderr
    assert "Traceback" not in done.stderr
