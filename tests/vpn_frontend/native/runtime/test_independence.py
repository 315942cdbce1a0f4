# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels carry packets while the interpreter's lock is held."""

from __future__ import annotations

import ctypes
import select
import struct
import subprocess
import sys

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import ConnectionUp

ECHOES = 200

CLIENT = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30))
tls.sendall(b"x")
assert tls.recv(5) == b"HELLO"
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    payload = number.to_bytes(4, "big")
    tls.sendall(b"STF\\x01\\x00\\x04\\x03\\x00" + payload)
    assert tls.recv(100) == b"STF\\x01\\x00\\x04\\x04\\x00" + payload
print("done", flush=True)
"""


@pytest.fixture
def other_process(bench):
    """A client in another process, which needs no lock of this interpreter."""
    command = [sys.executable, "-c", CLIENT, str(bench.port), str(ECHOES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def hold_interpreter_until_readable(descriptor):
    """Wait in C with the interpreter's lock held. Returns false if nothing came within ``TIMEOUT``."""
    wanted = ctypes.create_string_buffer(struct.pack("ihh", descriptor, select.POLLIN, 0))
    return ctypes.PyDLL(None).poll(wanted, 1, int(TIMEOUT * 1000)) == 1


def test_a_held_interpreter_stops_no_tunnel(bench, other_process):
    up = bench.wait(ConnectionUp)
    session = bench.gateway.open_session(up.connection_id, bench.parameters())
    bench.gateway.attach(session, up.connection_id, b"HELLO", b"")
    assert other_process.stdout.readline() == "ready\n"
    other_process.stdin.write("go\n")
    other_process.stdin.flush()
    assert hold_interpreter_until_readable(other_process.stdout.fileno())
    assert other_process.stdout.readline() == "done\n"
    assert bench.gateway.stats()["dpd_answered"] == ECHOES
