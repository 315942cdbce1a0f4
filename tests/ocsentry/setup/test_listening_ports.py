# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that listens on a port is found; the doctor names it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from ocsentry.setup.checks.host import check_port
from ocsentry.setup.listening_ports import sockets_on_port, uses_port
from vpn_frontend.settings import parse_endpoint

PLACES = [
    (socket.AF_INET, "127.0.0.1", socket.SOCK_STREAM),
    (socket.AF_INET6, "::1", socket.SOCK_STREAM),
    (socket.AF_INET, "127.0.0.1", socket.SOCK_DGRAM),
]
NAMES = ["tcp4", "tcp6", "udp4"]


@contextlib.contextmanager
def bound(family, address, kind):
    with socket.socket(family, kind) as opened:
        opened.bind((address, 0))
        if kind is socket.SOCK_STREAM:
            opened.listen()
        yield opened.getsockname()[1]


@contextlib.contextmanager
def other_process():
    """A process that has none of our sockets, and waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        yield other.pid
        other.stdin.close()


@pytest.mark.parametrize(("family", "address", "kind"), PLACES, ids=NAMES)
def test_the_process_with_the_socket_is_told_from_others(family, address, kind):
    with bound(family, address, kind) as port, other_process() as other:
        assert len(sockets_on_port(kind, port)) == 1
        assert uses_port(os.getpid(), kind, port)
        assert not uses_port(other, kind, port)


def test_a_connection_is_no_listener():
    with (
        bound(*PLACES[0]) as port,
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        local = connection.getsockname()[1]
        assert not uses_port(os.getpid(), socket.SOCK_STREAM, local)


@pytest.mark.parametrize(
    ("whose", "level", "words"),
    [("ours", "ok", "this server listens"), ("another", "fail", "another program"), (None, "fail", "another program")],
    ids=str,
)
def test_the_doctor_tells_our_server_from_another_program(whose, level, words):
    with bound(*PLACES[0]) as port, other_process() as other:
        server = {"ours": os.getpid(), "another": other, None: None}[whose]
        result = check_port(parse_endpoint(f"127.0.0.1:{port}"), socket.SOCK_STREAM, server)
    assert (result.level, words in result.detail) == (level, True)


def test_the_doctor_finds_a_free_port():
    with bound(*PLACES[0]) as port:
        pass
    assert check_port(parse_endpoint(f"127.0.0.1:{port}"), socket.SOCK_STREAM, None).level == "ok"
