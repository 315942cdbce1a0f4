# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's process from its start to its end, in a network namespace of its own.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.processes.stopped_thread import stopped_thread
from lab.timeouts import TIMEOUT, eventually
from tests.ocsentry.command_line import OCSENTRY
from tests.ocsentry.served import Served, links

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_nothing_is_left(served, namespace, number):
    assert served.told().startswith("READY=1")
    assert "ocs0" in links(namespace)
    assert served.stop(number) == 0
    assert served.told() == "STOPPING=1"
    assert [json.loads(line)["event"] for line in served.lines if line.startswith("{")][-1] == "stopped"
    assert "ocs0" not in links(namespace)
    assert not (served.command_line.folder / "admin.sock").exists()


def pending_events(pid):
    """What waits in the event counters of a process, by descriptor: the gateway's events for Python among them."""
    counts = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found = re.search(r"eventfd-count:\s*([0-9a-f]+)", entry.read_text())
            if found and int(found[1], 16):
                counts[entry.name] = int(found[1], 16)
    return counts


def test_its_listening_sockets_are_stored_before_it_is_ready(served):
    """One for each worker. The service manager passes them to the next process."""
    assert served.stored() == ("vpn-tcp-[..].443", len(os.sched_getaffinity(0)))
    assert served.told().startswith("READY=1")


def test_a_deleted_tun_device_ends_it_with_an_error(served, namespace):
    """Tunnels would go on to open and carry nothing. The service manager starts it again, with a new device.

    The event loop is halted until a worker has reported the loss, so that a question at that moment is answered.
    """
    pid, client = served.process.pid, http.client.HTTPConnection("api")
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.connect(str(served.command_line.folder / "admin.sock"))
    client.request("GET", "/readyz")
    before = client.getresponse()
    assert (before.status, json.load(before)["problems"]) == (200, [])
    with stopped_thread(pid, pid):
        quiet = pending_events(pid)
        subprocess.run(["ip", "-n", namespace, "link", "del", "ocs0"], check=True, timeout=TIMEOUT)
        eventually(lambda: pending_events(pid) != quiet, bool, "a report of the workers")
        client.request("GET", "/readyz")
    after = client.getresponse()
    assert after.status == 503
    assert "TUN device: the TUN device ocs0 was deleted" in json.load(after)["problems"]
    client.close()
    assert served.await_event("tun_lost")["device"] == "ocs0"
    assert "ocs0 was deleted" in served.await_event("stopping")["reason"]
    assert served.process.wait(TIMEOUT) == 1
    served._reader.join(TIMEOUT)
    assert "ocs0 was deleted" in "".join(line for line in served.lines if not line.startswith("{"))
    assert not (served.command_line.folder / "admin.sock").exists()


def test_a_saved_rule_is_in_force_and_a_wrong_one_changes_nothing(served):
    cli = served.command_line
    rule = cli.folder / "rules" / "50-new.json"
    document = {
        "wolfsentry": {
            "version": "1.6.3",
            "rules": [{"id": "new", "type": "blacklist", "remote_addr": "198.51.100.0/24"}],
        }
    }
    seen = len(served.lines)
    rule.write_text(json.dumps(document))
    assert served.await_event("policy_loaded", seen)["by"] == "file watcher"
    assert cli.json("rules", "explain", "198.51.100.1")["verdict"]["rule_id"] == "new"
    seen = len(served.lines)
    rule.write_text("{")
    assert "50-new.json" in served.await_event("policy_refused", seen)["problems"][0]
    assert cli.json("rules", "explain", "198.51.100.1")["verdict"]["rule_id"] == "new"
    status = cli.json("status")
    assert not status["ready"]
    assert "50-new.json" in status["problems"][0]
    seen = len(served.lines)
    rule.unlink()
    served.await_event("policy_loaded", seen)
    assert cli.json("status")["ready"]
    assert cli.json("rules", "explain", "198.51.100.1")["verdict"]["action"] == "accept"


def test_sighup_reloads_rules_and_certificate(served):
    served.told()
    seen = len(served.lines)
    served.process.send_signal(signal.SIGHUP)
    assert served.told().startswith("RELOADING=1")
    assert served.told().startswith("READY=1")
    served.await_event("certificate_reloaded", seen)
    assert served.await_event("policy_loaded", seen)["by"] == "signal"
    (served.command_line.folder / "server.key").write_text("no key")
    served.process.send_signal(signal.SIGHUP)
    assert "server.key" in served.await_event("certificate_refused", seen)["error"]
    assert served.stop() == 0


def test_commands_on_a_running_server(served):
    cli = served.command_line
    blocked = cli.json("block", "203.0.113.0/24", "--ttl", "1h", "--reason", "a test")
    assert (blocked["cidr"], blocked["sessions_cut"]) == ("203.0.113.0/24", 0)
    assert [row["reason"] for row in cli.json("blocks")] == ["a test"]
    assert cli.json("rules", "explain", "203.0.113.9")["verdict"]["action"] == "reject"
    assert "block of 203.0.113.0/24" in cli.fails("unblock", "203.0.113.9")
    cli.ok("unblock", "203.0.113.0/24")
    assert cli.json("blocks") == []
    assert cli.json("rules", "explain", "203.0.113.9")["verdict"]["action"] == "accept"
    cli.ok("user", "add", "alice", "--password-stdin", stdin="a good password\n")
    assert [user["name"] for user in cli.json("user", "list")] == ["alice"]
    assert cli.json("sessions") == cli.json("sessions", "list") == []
    assert "no session" in cli.fails("sessions", "kill", "abc")
    kinds = [json.loads(line)["kind"] for line in cli.ok("events", "--json").splitlines()]
    assert kinds[0] == "policy_loaded"
    assert {"ready", "block_added", "block_removed"} <= set(kinds)


def decided(cli):
    """Returns the fields of the decision events."""
    said = map(json.loads, cli.ok("events", "--json").splitlines())
    return [event["fields"] for event in said if event["kind"] == "decision"]


def test_a_gateway_decision_is_an_event(served, namespace):
    knock = "import socket; socket.create_connection(('127.0.0.1', 443), 5).close()"
    subprocess.run(["ip", "netns", "exec", namespace, sys.executable, "-c", knock], check=True, timeout=TIMEOUT)
    deadline = time.monotonic() + TIMEOUT
    while not (decisions := decided(served.command_line)):  # they are emitted a few times per second
        assert time.monotonic() < deadline
    assert [(one["event"], one["verdict"], one["reason"]) for one in decisions] == [
        ("connect", "accept", "never_block")
    ]
    assert [line for line in served.lines if "backend_failed" in line] == []


def test_blocks_survive_a_restart(served, namespace):
    cli = served.command_line
    cli.ok("block", "203.0.113.7", "--reason", "stays")
    assert served.stop() == 0
    (cli.folder / "notify").unlink()
    again = Served(cli, namespace)
    try:
        again.await_event("ready")
        assert cli.json("rules", "explain", "203.0.113.7")["verdict"]["action"] == "reject"
        assert again.stop() == 0
    finally:
        again.process.kill()
        again.notify.close()


def test_a_second_server_is_refused_in_one_line(served, namespace):
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, OCSENTRY, "serve"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=served.command_line.environment,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"ocsentry: another server (process {served.process.pid}) uses ")
    assert "Traceback" not in done.stdout + done.stderr
    assert served.command_line.json("status")["ready"]
