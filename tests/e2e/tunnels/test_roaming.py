# SPDX-License-Identifier: GPL-3.0-or-later
"""A client whose address changes keeps its session, its tunnel addresses and its counters.

host 1 10.77.1.2, later 10.77.1.3 … ── v1 ┐
host n ─────────────────────────────── vn ┴ gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import os
import random
import signal

import pytest

from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT, eventually
from lab.traffic.continuous_ping import ContinuousPing

DPD = 4  # seconds
ROAMS = 20
ARRIVALS = 8  # clients that log in at a time
PING_BYTES = 84  # an echo request of 56 bytes: IPv4 20, ICMP 8
TUNNELS = int(os.environ.get("OCSENTRY_TUNNELS", "20"))
PINGS = int(os.environ.get("OCSENTRY_PINGS", "30"))  # through each of the tunnels
PING_INTERVAL = 0.1  # seconds
ROUNDS = int(os.environ.get("OCSENTRY_ROAM_ROUNDS", "15"))
SETTINGS = {"vpn": {"dtls": True}, "vpn.session": {"dpd": DPD, "cookie_timeout": 60}}


@pytest.mark.parametrize("dtls", [False, True], ids=["tls", "dtls"])
def test_a_client_whose_address_changes_carries_on(lab, dtls):
    server = lab.serve(settings=SETTINGS)
    host = lab.host()
    client = server.connect(host, dtls=dtls)
    before = client.await_up()
    (session,) = server.sessions()
    host.move_to("10.77.1.3")
    if dtls:
        # The client's UDP socket keeps the removed address and fails. A desktop sends this signal on a network change.
        client.signal(signal.SIGUSR2)
    client.await_reconnected()  # over TLS the client notices by DPD
    # A datagram may be lost while the client changes from TLS to DTLS; three in a row are answered then.
    eventually(lambda: client.ping(INNER_IPV4), lambda share: share == 1.0, "answered")
    (after,) = server.sessions()
    assert (after["id"], after["ipv4"], after["started_at"]) == (session["id"], before.ipv4, session["started_at"])
    assert after["address"] == "10.77.1.3"
    assert server.leases() == 1
    client.goodbye()
    server.await_sessions(0)


def test_many_roams_are_one_session_with_exact_bytes(lab):
    server = lab.serve(settings={**SETTINGS, "vpn.limits": {"max_same_clients": 1}, "vpn.network": {"ipv6_pool": ""}})
    host = lab.host()
    client = server.connect(host)
    client.await_up()
    (session,) = server.sessions()
    for number in range(ROAMS):
        seen = len(client.lines)
        host.move_to(f"10.77.1.{10 + number}")
        client.signal(signal.SIGUSR2)  # as a desktop does on a network change
        client.await_line(r"^vpnc-script: reconnect ", since=seen)
        assert client.ping(INNER_IPV4, count=2) == 1.0
    (after,) = server.sessions()
    assert after["id"] == session["id"]
    moved = {name: after["counters"][name] - session["counters"][name] for name in ("rx_packets", "tx_packets")}
    assert moved == {"rx_packets": 2 * ROAMS, "tx_packets": 2 * ROAMS}
    for name in "rx_bytes", "tx_bytes":
        assert after["counters"][name] - session["counters"][name] == 2 * ROAMS * PING_BYTES
    assert server.leases() == 1
    assert server.api.get("/api/v1/penalties")["items"] == []


def test_many_tunnels_lose_no_ping(lab):
    server = lab.serve(settings={**SETTINGS, "vpn.limits": {"max_same_clients": 0}, "vpn.session": {"dpd": 90}})
    hosts = [lab.host() for _ in range(TUNNELS)]
    clients = []
    for number, host in enumerate(hosts):
        clients.append(server.connect(host, dtls=number % 2 == 0))
        if len(clients) >= ARRIVALS:  # pending logins per user are bounded
            clients[-ARRIVALS].await_up()
    for client in clients:
        client.await_up()
    for client in clients[::2]:
        client.await_dtls()
    watched = [ContinuousPing(client, INNER_IPV4, interval=PING_INTERVAL) for client in clients]
    for pings in watched:
        pings.await_replies(PINGS, timeout=TIMEOUT + 2 * PINGS * PING_INTERVAL)
    assert [pings.missing() for pings in watched] == [[]] * TUNNELS
    assert server.leases() == TUNNELS


def test_random_roams_kills_goodbyes_and_blocks_count_exactly(lab):
    settings = {**SETTINGS, "vpn.limits": {"max_same_clients": 1}, "vpn.session": {"dpd": DPD, "cookie_timeout": 10}}
    server = lab.serve(settings=settings)
    chance = random.Random(4)
    hosts = [lab.host() for _ in range(2)]
    for number in range(ROUNDS):
        host = chance.choice(hosts)
        client = server.connect(host, dtls=chance.random() < 0.5)
        client.await_up()
        assert server.leases() == 1
        if chance.random() < 0.5:
            seen = len(client.lines)
            host.move_to(f"10.77.{host.number}.{10 + number % 200}")
            client.signal(signal.SIGUSR2)
            client.await_line(r"^vpnc-script: reconnect ", since=seen)
            assert server.leases() == 1
        match chance.choice(["kill", "goodbye", "block"]):
            case "kill":
                client.kill()
            case "goodbye":
                client.goodbye()
            case "block":
                block = server.api.block(host.ipv4, "at random")
                client.await_exit()
                server.api.unblock(block["id"])
    server.await_leases(0)
