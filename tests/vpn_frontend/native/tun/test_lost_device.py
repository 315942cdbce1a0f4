# SPDX-License-Identifier: GPL-3.0-or-later
"""A TUN device that is deleted under the gateway: real queues, in a network namespace of their own."""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import threading
from pathlib import Path

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import GatewayConfig, TlsHost, TunDown
from vpn_frontend.gateway.native_gateway import open_gateway
from vpn_frontend.gateway.tun import open_queues

CLONE_NEWNET = 0x40000000
WORKERS = 2

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="needs root and /dev/net/tun"
)


def _in_namespace(action):
    """Runs ``action`` in a thread with a network namespace of its own. Returns its result."""
    results, failures = [], []

    def run():
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _ip(*words):
    subprocess.run(["ip", "link", *words], check=True, capture_output=True, timeout=TIMEOUT)


def _wait(gateway, count):
    """Events until ``count`` workers have reported the loss."""
    seen = []
    while len(seen) < count:
        ready, _, _ = select.select([gateway.fileno()], [], [], TIMEOUT)
        assert ready, f"{len(seen)} of {count} workers noticed"
        seen += gateway.events()
    return seen


def _lose_device(gate, pair):
    gateway = open_gateway(
        GatewayConfig(
            listeners=((),) * WORKERS, tuns=open_queues("ocslost0", WORKERS),
            hosts=(TlsHost((parse_certificate(*pair),)),), gate=gate.address,
            max_connections=16, max_sessions=16, handshake_timeout=5.0, conversation_timeout=5.0,
        )
    )  # fmt: skip
    try:
        _ip("set", "ocslost0", "up")
        _ip("set", "ocslost0", "down")  # not the end: it may come up again
        _ip("set", "ocslost0", "up")
        assert gateway.stats()["tun_lost"] == 0
        _ip("del", "ocslost0")
        return _wait(gateway, WORKERS), gateway.stats()["tun_lost"]
    finally:
        gateway.close()


def test_each_worker_reports_a_deleted_device_once(gate, ecdsa_pair):
    events, lost = _in_namespace(lambda: _lose_device(gate, ecdsa_pair))
    assert events == [TunDown()] * WORKERS
    assert lost == WORKERS
