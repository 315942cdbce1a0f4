# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels beside a busy API: an import of very many blocks, and requests at a fixed rate.

hosts 1… 10.77.N.2 ── gateway 10.77.0.1, `ocsentry serve`; host 1 runs the client whose pings are the canary

OCSENTRY_BLOCKS: blocks of the import. OCSENTRY_BLOCK_TUNNELS: tunnels beside it. OCSENTRY_API_RATE,
OCSENTRY_API_SECONDS: requests a second, and for how long. Latencies are printed (pytest -s);
OCSENTRY_STRICT_TIMES asserts them.
"""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time

from lab.clients.api import ADMIN_PORT
from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.processes.resource_usage import process_tree
from lab.server import INNER_IPV4, PASSWORD
from lab.timeouts import STRICT
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.request_rate import render, send_at_rate

BLOCKS = int(os.environ.get("OCSENTRY_BLOCKS", "5000"))
TUNNELS = int(os.environ.get("OCSENTRY_BLOCK_TUNNELS", "5"))
RATE = int(os.environ.get("OCSENTRY_API_RATE", "50"))
SECONDS = float(os.environ.get("OCSENTRY_API_SECONDS", "2"))
CALLERS = 8
IMPORT_TIME = 3600.0  # seconds, of a million blocks on a busy machine
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
P99_IMPORT, P99_RATE = 0.05, 0.02  # seconds, of an idle machine
READS = (
    *["/api/v1/explain?address=192.0.2.7"] * 3,
    *["/api/v1/blocks?limit=10"] * 2,
    *["/api/v1/sessions"] * 2,
    *("/api/v1/status", "/api/v1/decisions?limit=10", "/api/v1/rules?limit=10"),
)
# Of twenty requests: six explanations, four pages of blocks, three lists of sessions, two of status and of decisions,
# one of rules, two new blocks.
MIX = (*READS, *(*READS[:5], READS[5], READS[7], READS[8]), None, None)


class Callers:
    """Threads that ask for ``READS`` at ``rate`` a second together, until ``stop``."""

    def __init__(self, server, rate: float, callers: int = CALLERS) -> None:
        self.times: list[float] = []
        self._rate, self._callers, self._stopped = rate, callers, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server.api.another(), n)) for n in range(callers)]
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> tuple[float, float, float]:
        """Returns requests a second, and the 50th and 99th percentile of their seconds."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        percentiles = statistics.quantiles(self.times, n=100)
        return len(self.times) / (time.monotonic() - self._began), percentiles[49], percentiles[98]

    def _run(self, api, number: int) -> None:
        due = self._began + number / self._rate
        for path in itertools.cycle(READS):
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            began = time.monotonic()
            api.get(path)
            self.times.append(time.monotonic() - began)
            due = max(due + self._callers / self._rate, began)
        api.close()


def processor_seconds(server) -> float:
    """Of the server process, without its helper."""
    with open(f"/proc/{process_tree(server.program.process.pid)[0]}/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def connected(lab, **settings):
    """Returns a server, its canary's pings and the tunnels beside it."""
    server = lab.serve(builtin_limits=False, settings={"vpn.limits": {"max_same_clients": 0}, **settings})
    client = server.connect(lab.host())
    client.await_up()
    host = lab.host()
    tunnels = [open_tunnel(host, log_in(host, "bob", PASSWORD)) for _ in range(TUNNELS)]
    assert all(isinstance(tunnel, Tunnel) for tunnel in tunnels)
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(5)
    return server, pings, tunnels


def test_an_import_of_blocks_beside_tunnels(lab):
    server, pings, tunnels = connected(lab)
    networks = lab.servers[0].folder / "networks.txt"
    networks.write_text("".join(f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::/64\n" for n in range(BLOCKS)))
    callers = Callers(server, rate=50)
    before, began = processor_seconds(server), time.monotonic()
    said = server.cli("blocks", "import", str(networks), timeout=IMPORT_TIME)
    took, spent = time.monotonic() - began, processor_seconds(server) - before
    rate, p50, p99 = callers.stop()
    assert said.startswith(f"{BLOCKS} blocked, 0 extended, 0 unchanged, 0 refused; 0 sessions disconnected")
    assert server.api.get("/api/v1/status")["blocks"] == BLOCKS
    assert pings.missing() == []
    assert all(tunnel.answers() for tunnel in tunnels)
    times = pings.round_trips(began)
    print(f"import: {BLOCKS} blocks in {took:.1f} s, CPU {spent:.1f} s")
    print(f"API beside it: {rate:.0f}/s, p50 {p50:.4f} p99 {p99:.4f} s")
    print(f"pings: {len(times)}, none lost, p99 {percentile_99(times):.4f} s")
    assert p99 < P99_IMPORT or not STRICT


def test_requests_at_a_fixed_rate_beside_a_tunnel(lab):
    server, pings, tunnels = connected(lab)
    kinds = [[render("GET", path, server.api.token)] if path else [] for path in MIX]
    for number in range(int(RATE * SECONDS * 2 / len(MIX)) + 2):
        block = {"cidr": f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64", "reason": "load", "ttl": 600}
        kinds[len(MIX) - 1 - number % 2].append(render("POST", "/api/v1/blocks", server.api.token, block))
    before, began = processor_seconds(server), time.monotonic()
    sent = send_at_rate(server.network.gateway, ADMIN_PORT, kinds, RATE, SECONDS)
    each = (processor_seconds(server) - before) / len(sent.all)
    assert sent.failed == 0
    assert server.api.get("/api/v1/status")["blocks"] == sum(map(len, sent.latencies[-2:]))
    assert pings.missing() == []
    assert all(tunnel.answers() for tunnel in tunnels)
    times = pings.round_trips(began)
    p99 = percentile_99(sent.all)
    written = percentile_99([one for latencies in sent.latencies[-2:] for one in latencies])
    print(f"requests: {len(sent.all) / sent.seconds:.0f}/s of {RATE}, CPU {1e3 * each:.2f} ms each")
    print(f"latency: p50 {statistics.median(sent.all):.4f} p99 {p99:.4f} s, of new blocks p99 {written:.4f} s")
    print(f"pings: {len(times)}, none lost, p99 {percentile_99(times):.4f} s")
    assert p99 < P99_RATE or not STRICT


def percentile_99(times):
    return statistics.quantiles(times, n=100)[98]
