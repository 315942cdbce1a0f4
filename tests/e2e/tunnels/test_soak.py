# SPDX-License-Identifier: GPL-3.0-or-later
"""Random clients for SOAK_SECONDS: no leak, exact counts, and a steady tunnel that loses no packet.

host 1 (one tunnel that pings throughout) ─── v1 ┐
hosts 2 to 4 (clients connect, roam, leave) ─ vn ┴ gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from lab.clients.openconnect import OpenConnect
from lab.processes.resource_usage import proportional_set_size
from lab.server import INNER_IPV4
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import probe

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
WARM_ROUNDS = 30  # until pools, caches and arenas are full
GROWTH = 24 << 20  # bytes that the process may grow afterwards
USERS = ("alice", "bob")  # connect and leave; carol stays
DEVICES = 2  # per user; a killed client keeps its place until its cookie ends or its user needs it
SETTINGS = {
    "vpn": {"dtls": True},
    "vpn.limits": {"max_same_clients": DEVICES},
    "vpn.session": {"dpd": 8, "cookie_timeout": 10},
}


@pytest.mark.skipif(not SECONDS, reason="only with SOAK_SECONDS, see make soak")
def test_random_clients_for_a_long_time(lab):
    server = lab.serve(settings=SETTINGS, builtin_limits=False)
    steady = server.connect(lab.host(), user="carol")
    steady.await_up()
    hosts = [lab.host() for _ in range(3)]
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pings = ContinuousPing(steady, INNER_IPV4, interval=0.2)
    end, rounds, baseline = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        live(server, chance, chance.choice(hosts), rounds)
        rounds += 1
        assert max(Counter(session["user"] for session in server.sessions()).values()) <= DEVICES
        assert server.leases() <= 1 + len(USERS) * DEVICES
        if rounds == WARM_ROUNDS:
            baseline = proportional_set_size([server.program.process.pid])
    server.await_sessions(1)
    assert server.leases() == 1
    assert pings.missing() == []
    if baseline:
        grown = proportional_set_size([server.program.process.pid]) - baseline
        assert grown < GROWTH, f"{grown} bytes more than after round {WARM_ROUNDS}, at round {rounds}"


def live(server, chance, host, number):
    """One client from login to end, one TLS probe, or one change of the rules."""
    match chance.choice(["client", "client", "client", "wrong", "probe", "rules"]):
        case "client":
            client = server.connect(host, user=chance.choice(USERS), dtls=chance.random() < 0.5)
            client.await_up()
            if chance.random() < 0.4:
                roam(client, f"10.77.{host.number}.{10 + number % 200}")
            leave(server, chance, client)
        case "wrong":
            server.connect(host, password="wrong").await_exit()
        case "probe":
            probe(host)
        case "rules":
            server.write_rules([{"id": "soak", "type": "blacklist", "remote_addr": f"198.51.{number % 256}.0/24"}])


def roam(client: OpenConnect, address: str) -> None:
    if client.host.ipv4 == address:
        return
    seen = len(client.lines)
    client.host.move_to(address)
    client.signal(signal.SIGUSR2)
    client.await_line(r"^vpnc-script: reconnect ", since=seen)


def leave(server, chance, client: OpenConnect) -> None:
    match chance.choice(["kill", "goodbye", "block", "session"]):
        case "kill":
            client.kill()
        case "goodbye":
            client.goodbye()
        case "block":
            block = server.api.block(client.host.ipv4, "at random")
            client.await_exit()
            server.api.unblock(block["id"])
        case "session":
            for session in server.sessions():
                if session["address"] == client.host.ipv4:
                    server.api.call("DELETE", f"/api/v1/sessions/{session['id']}")
            client.await_exit()
