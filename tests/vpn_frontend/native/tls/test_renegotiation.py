# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS 1.2 client that asks for another handshake gets none (CVE-2011-1473: handshakes cost the server more).

OpenSSL's client, through which an R on a line asks for it.
"""

from __future__ import annotations

import subprocess

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import ConnectionClosed, ConnectionData, ConnectionUp


@pytest.fixture
def renegotiating(bench):
    switches = ("-tls1_2", "-legacy_server_connect", "-legacy_renegotiation", "-quiet", "-no_ign_eof")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{bench.port}", *switches]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        yield client
        client.kill()


def test_a_renegotiation_is_refused(bench, renegotiating):
    renegotiating.stdin.write(b"before\n")
    renegotiating.stdin.flush()
    connection = bench.wait(ConnectionUp).connection_id
    assert bench.wait(ConnectionData).data == b"before\n"
    renegotiating.stdin.write(b"R\n")
    renegotiating.stdin.flush()
    closed = bench.wait(ConnectionClosed)
    assert closed.connection_id == connection
    said = renegotiating.communicate(timeout=TIMEOUT)[0]
    assert b"RENEGOTIATING" in said
    assert said.count(b"depth=0") <= 1 + said.count(b"verify error")  # one certificate was shown
    assert not [event for event in bench.seen if isinstance(event, ConnectionUp)]
    bench.connected()  # others are served


def test_one_of_a_silent_connection_is_refused(bench, renegotiating):
    bench.wait_stat("handshakes_done", 1)
    renegotiating.stdin.write(b"R\n")
    renegotiating.stdin.flush()
    said = renegotiating.communicate(timeout=TIMEOUT)[0]
    assert b"RENEGOTIATING" in said
    assert said.count(b"depth=0") <= 1 + said.count(b"verify error")
    assert bench.seen == []
    bench.connected()
    assert bench.gateway.stats()["handshakes_done"] == 2
