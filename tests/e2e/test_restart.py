# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions outlive the server's process: clients come back by themselves after a restart, and after kill -9.

host 1 (openconnect, several times) ── gateway 10.77.0.1, `ocsentry serve` under a service manager

OCSENTRY_RETURNING: tunnels (200 before a release).
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.clients.openconnect import DTLS_UP
from lab.processes import service_manager
from lab.server import INNER_IPV4, OCSENTRY
from lab.timeouts import TIMEOUT, eventually

TUNNELS = int(os.environ.get("OCSENTRY_RETURNING", "10"))
AT_ONCE = 20  # that log in together
LAUNCHER = (sys.executable, service_manager.__file__, OCSENTRY)
SETTINGS = {"vpn": {"dtls": True}, "vpn.limits": {"max_same_clients": 0}}
COUNTED = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
PINGS, PING_BYTES = 5, 84  # an echo request of 56 bytes with its headers


def process_of(server) -> int:
    """The process id of the newest server."""
    lines = [line.text for line in server.program.lines if line.text.startswith("service manager: process")]
    return int(lines[-1].split()[3])


def counters_of(document) -> tuple[int, ...]:
    return tuple(document[name] for name in COUNTED)


def sessions_by_address(server) -> dict[str, dict]:
    found = server.api.get("/api/v1/sessions?limit=1000")["items"]
    return {one["ipv4"]: one for one in found}


def history(server) -> list[dict]:
    return server.api.get("/api/v1/sessions/history?limit=1000")["items"]


def restart(server, way: str) -> float:
    """Returns when the process ended, once the next one serves."""
    seen = len(server.program.lines)
    if way == "kill":
        os.kill(process_of(server), signal.SIGKILL)
    else:
        server.program.signal(signal.SIGUSR1)
    server.api.close()
    server.program.await_line(r'"event": ?"ready"', 4 * TIMEOUT, since=seen)
    return server.program.await_line("service manager: process", since=seen).at


def ping_all(host, configs) -> None:
    """From each client's device at the same time, so that the time does not grow with their number."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda config: ping(host, config.device), configs))


def ping(host, device: str) -> None:
    host.namespace.run("ping", "-n", "-q", "-c", str(PINGS), "-i", "0.05", "-W", "5", "-I", device, INNER_IPV4)


@pytest.mark.parametrize("way", ["restart", "kill"])
def test_clients_come_back_without_a_login_and_every_byte_is_counted_once(lab, way):
    server = lab.serve(launcher=LAUNCHER, builtin_limits=False, settings=SETTINGS)
    host = lab.host()
    host.namespace.run("sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=0")
    clients, configs = [], []
    for start in range(0, TUNNELS, AT_ONCE):
        some = range(start, min(start + AT_ONCE, TUNNELS))
        clients += [server.connect(host, "--disable-ipv6", dtls=number % 2 == 0) for number in some]
        configs += [client.await_up(4 * TIMEOUT) for client in clients[start:]]
    for client in clients[::2]:
        client.await_line(DTLS_UP, 4 * TIMEOUT)
    ping_all(host, configs)
    before = sessions_by_address(server)
    assert {counters_of(one["counters"]) for one in before.values()} == {
        (PINGS, PINGS * PING_BYTES, PINGS, PINGS * PING_BYTES)
    }
    seen = [len(client.lines) for client in clients]
    ended_at = restart(server, way)
    pairs = list(zip(clients, seen, strict=True))
    back = [client.await_line(r"CSTP connected", 8 * TIMEOUT, since=since) for client, since in pairs]
    print(f"{TUNNELS} tunnels back {max(line.at for line in back) - ended_at:.2f} s after the {way}")
    for client, since in pairs:
        client.await_reconnected(8 * TIMEOUT, since=since)
    for client, since in pairs[::2]:
        client.await_line(DTLS_UP, 4 * TIMEOUT, since=since)
    after = sessions_by_address(server)
    assert {address: one["id"] for address, one in after.items()} == {a: one["id"] for a, one in before.items()}
    assert all(one["state"] == "connected" for one in after.values())
    ping_all(host, configs)
    for client in clients:
        client.goodbye()
    server.await_sessions(0)
    rows = eventually(
        lambda: history(server), lambda found: all(one["ended_at"] for one in found), "an end in each row"
    )
    assert Counter(row["id"] for row in rows) == Counter(one["id"] for one in before.values())
    assert {row["end_reason"] for row in rows} == {"user_disconnect"}
    total = 2 * PINGS
    assert {counters_of(row) for row in rows} == {(total, total * PING_BYTES, total, total * PING_BYTES)}
    logins = [line for line in server.program.lines if '"login_accepted"' in line.text]
    assert len(logins) == TUNNELS
