# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that come while the server starts: a stop ends it at once, a reload is done once it is ready.

namespace: lo, a server of a block list that accepts connections and says nothing
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from tests.ocsentry.served import Served, configure

pytestmark = pytest.mark.netns

PORT = 8080
SILENT = f"""
import socket, sys
listener = socket.create_server(("127.0.0.1", {PORT}))
print("listening", flush=True)
connection, _ = listener.accept()
print("asked", flush=True)
if sys.stdin.readline():
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 13\\r\\n\\r\\n198.51.100.0\\n")
"""
LIST = {"id": "silent", "url": f"http://127.0.0.1:{PORT}/list", "refresh_sec": 3600}


@pytest.fixture
def starting(command_line):
    """A server that waits for its block list, and the program that has been asked for that."""
    configure(command_line.folder, policy={"feed_networks": ["127.0.0.0/8"]})
    document = {"wolfsentry": {"version": "1.6.3", "feeds": [LIST]}}
    (command_line.folder / "rules" / "50-list.json").write_text(json.dumps(document))
    claim = Claim()
    namespace = Namespace.create(claim.name("start")).name
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", SILENT]
    silent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert silent.stdout.readline() == "listening\n"
    server = Served(command_line, namespace)
    try:
        assert silent.stdout.readline() == "asked\n"
        yield server, silent
    finally:
        for process in (server.process, silent):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(TIMEOUT)
        server.notify.close()
        claim.release()


def events(server):
    return [json.loads(line)["event"] for line in server.lines if line.startswith("{")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_waits_for_nothing_that_the_start_waits_for(starting, number):
    server, silent = starting
    assert server.stop(number) == 0
    assert silent.poll() is None, "the list is not there"
    assert events(server)[-2:] == ["stopping", "stopped"]
    assert not {"ready", "feed_failed"} & set(events(server))
    assert not (server.command_line.folder / "admin.sock").exists()


def test_a_reload_comes_once_it_is_ready(starting):
    server, silent = starting
    server.process.send_signal(signal.SIGHUP)
    silent.stdin.write("go on\n")
    silent.stdin.flush()
    assert server.told().startswith("READY=1")
    assert server.told().startswith("RELOADING=1")
    assert server.await_event("certificate_reloaded")
    assert server.stop() == 0
