# SPDX-License-Identifier: GPL-3.0-or-later
"""A route to the clients that goes away makes the server not ready, until it is back.

namespace: lo, the TUN device that the server makes
"""

from __future__ import annotations

import subprocess

import pytest

from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.netns


def ip(namespace, *words):
    subprocess.run(["ip", "-n", namespace, *words], check=True, timeout=TIMEOUT)


def problems(served):
    return [text for text in served.command_line.json("status")["problems"] if text.startswith("routes")]


def test_a_lost_route_is_told_until_it_is_back(served, namespace):
    assert problems(served) == []
    shown = subprocess.run(["ip", "-n", namespace, "-j", "route"], capture_output=True, text=True, check=True).stdout
    assert "192.168.99.0/24" in shown
    for network in ("192.168.99.0/24", "192.168.99.0/25", "192.168.99.128/25"):
        ip(namespace, "route", "del", network, "dev", "ocs0")
    assert problems(served) == ["routes to clients: 192.168.99.0/24 has no route to ocs0"]
    assert served.await_event("routes_lost")["networks"] == ["192.168.99.0/24"]
    ip(namespace, "link", "add", "other", "type", "veth")
    ip(namespace, "addr", "add", "10.8.8.8/24", "dev", "other")
    ip(namespace, "link", "set", "other", "up")
    ip(namespace, "route", "add", "192.168.99.0/24", "dev", "other")  # it has taken the network
    assert len(problems(served)) == 1
    ip(namespace, "link", "del", "other")
    ip(namespace, "route", "add", "192.168.99.0/24", "dev", "ocs0", "src", "192.168.99.1")
    assert problems(served) == []
    served.await_event("routes_restored")


def test_a_client_on_this_host_takes_no_route(served, namespace):
    """What the usual vpnc-script does at the beginning and the end of a client on the server's own host."""
    ip(namespace, "link", "add", "tun9", "type", "veth")
    ip(namespace, "link", "set", "tun9", "up")
    ip(namespace, "route", "replace", "192.168.99.0/24", "dev", "tun9")
    assert problems(served) == []
    ip(namespace, "route", "del", "192.168.99.0/24", "dev", "tun9")
    assert problems(served) == []
    for client in ("192.168.99.2", "192.168.99.250"):
        shown = subprocess.run(
            ["ip", "-n", namespace, "route", "get", client], capture_output=True, text=True, check=True
        ).stdout
        assert "dev ocs0 src 192.168.99.1" in shown
