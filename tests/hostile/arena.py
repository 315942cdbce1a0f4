# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with two tunnels that ping, a hostile host and a blocked one, and what must hold after every case."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.clients.cstp_client import Answer, Tunnel, log_in, open_tunnel
from lab.processes.resource_usage import process_tree, proportional_set_size
from lab.server import INNER_IPV4, PASSWORD, Server
from lab.timeouts import eventually
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import ProbeResult, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.processes.programs import Line

USERS = ("alice", "bob", "carol", "mallory")  # alice and bob hold the tunnels that ping, carol connects in cases
MAX_DEVICES = 10  # of one user
SETTINGS = {
    "vpn": {"dtls": True},
    "vpn.limits": {"max_same_clients": MAX_DEVICES},
    "vpn.session": {"dpd": 60, "cookie_timeout": 120},
    "auth": {"remember_passwords": 3600},
}
BLOCKED = "the host that stays out"
# Bytes of proportional set size above the baseline, for all cases together. 6 000 login cycles added 38 MiB, 19 of them
# in one step: the size of a password hash's memory, which malloc may keep for each thread that hashes. All cases after
# each other in one process added 67 MiB, and 109 when guesses from 500 addresses hashed in every thread of the pool. A
# bound for a leak, not an estimate.
GROWTH = 144 << 20
PING_INTERVAL = 0.05  # seconds
WARM_CLIENTS = 16  # at once: as many as pools have threads


# Threads of pools that a busy machine had not filled before the cases: each is kept once it was needed.
POOL_THREADS = 6
DATABASE = "/ocsentry.db"  # its pool keeps up to five connections, each with a thread and some descriptors


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server's processes hold, the pool of the database left out."""

    processes: int
    threads: int
    descriptors: int

    def within(self, other: Usage) -> bool:
        return (
            self.processes <= other.processes
            and self.threads <= other.threads + POOL_THREADS
            and self.descriptors <= other.descriptors
        )


class Arena:
    def __init__(self, server: Server) -> None:
        self.server = server
        network = server.network
        hosts = [network.add_host() for _ in range(4)]
        self.attacker, self.blocked = hosts[2], hosts[3]
        # Limits and detectors off: they would close the door before the parsers that the cases are about.
        server.write_rules([], builtin_limits=False, detectors={"password_spray": False, "credential_stuffing": False})
        assert server.command("reload_rules")["ok"]
        for user in USERS:
            server.api.expect(201, "POST", "/api/v1/users", {"name": user, "password": PASSWORD})
        clients = [server.connect(hosts[0], user="alice"), server.connect(hosts[1], user="bob", dtls=True)]
        for client in clients:
            client.await_up()
        clients[1].await_dtls()
        self._ids = {session["id"] for session in server.sessions()}
        self._warm_up()
        server.api.block(self.blocked.ipv4, BLOCKED)
        assert probe(self.blocked) is ProbeResult.CLOSED
        server.await_sessions(len(clients))
        self._pings = [ContinuousPing(client, INNER_IPV4, interval=PING_INTERVAL) for client in clients]
        for ping in self._pings:
            ping.await_replies(3)
        self._policy = self._policy_state()
        self._read = 0  # lines of the log
        self._opened: Counter[str] = Counter()
        self._closed: Counter[str] = Counter()
        self._usage = eventually(self._settled, lambda found: found is not None, "a steady server")
        self._memory = self.memory()

    def _warm_up(self) -> None:
        """Fills pools of threads, which would count as growth later: logins, tunnels and calls at once."""

        def client(number: int) -> None:
            log_in(self.attacker, f"carol{number % 3}", "wrong")
            tunnel = open_tunnel(self.attacker, self.cookie())
            assert isinstance(tunnel, Tunnel), tunnel
            with tunnel.stream:
                assert tunnel.answers()
            api = self.server.api.another()
            api.get("/api/v1/sessions/history")
            api.close()

        with ThreadPoolExecutor(WARM_CLIENTS) as pool:
            list(pool.map(lambda number: log_in(self.attacker, f"warm{number % 5}", "wrong"), range(4 * WARM_CLIENTS)))
            list(pool.map(client, range(WARM_CLIENTS // 2)))
        self.end_sessions()

    # -- for cases

    def cookie(self, user: str = "carol") -> str:
        cookie = log_in(self.attacker, user, PASSWORD)
        assert cookie
        return cookie

    @contextmanager
    def tunnel(self, *headers: str, user: str = "carol") -> Iterator[Tunnel]:
        """A tunnel of the hostile host. Its session is gone afterwards, however the case left it."""
        opened = open_tunnel(self.attacker, self.cookie(user), *headers)
        assert isinstance(opened, Tunnel), opened
        try:
            yield opened
        finally:
            opened.stream.close()
            self.end_sessions()

    def end_sessions(self) -> None:
        """Ends every session but those that ping."""
        for session in self.server.sessions():
            if session["id"] not in self._ids:
                self.server.api.call("DELETE", f"/api/v1/sessions/{session['id']}")

    def history(self, user: str = "") -> list[dict[str, Any]]:
        """The newest accounting records, of one user or of all."""
        return self.server.api.get(f"/api/v1/sessions/history?limit=1000{user and '&user='}{user}")["items"]

    def session_of(self, tunnel: Tunnel) -> dict[str, Any]:
        (found,) = [one for one in self.server.sessions() if one["ipv4"] == tunnel.ipv4]
        return found

    def account(self, session_id: str) -> dict[str, Any]:
        """The accounting record of an ended session, once it is written."""

        def look() -> list[dict[str, Any]]:
            return [row for row in self.history() if row["id"] == session_id and row["ended_at"]]

        (row,) = eventually(look, bool, f"an end of {session_id}")
        return row

    def round_trips(self, since: float) -> list[float]:
        """The seconds of each round trip of the tunnels that ping, answered after ``since`` on the monotonic clock."""
        return [seconds for ping in self._pings for seconds in ping.round_trips(since)]

    def memory(self) -> int:
        """The bytes that the server's processes hold together."""
        return proportional_set_size(self._processes())

    # -- the invariant

    def check(self) -> None:
        """Raises AssertionError unless all of this holds.

        The tunnels that ping lost no packet and are the only sessions, rows without an end and leases. Processes,
        threads and descriptors are not above the baseline, memory within ``GROWTH``. Every session has one row. The API
        answers, and the policy is the one of the beginning.
        """
        assert self.server.program.running
        for ping in self._pings:
            ping.await_replies(ping.replies + 2)
            eventually(ping.unanswered, lambda gaps: not gaps, "every echo request answered", timeout=10)
        eventually(self._live, lambda found: found == self._ids, "no session but those that ping")
        eventually(self.server.leases, lambda count: count == len(self._ids), "as many leases as sessions")
        eventually(self._open_rows, lambda found: found == self._ids, "as many open rows as sessions")
        assert max(Counter(row["id"] for row in self.history()).values()) == 1
        self._check_log()
        eventually(self._held, lambda found: found.within(self._usage), f"within {self._usage}", timeout=30)
        # A password that is being hashed holds 64 MiB for a moment.
        eventually(self._growth, lambda grown: grown < GROWTH, f"less than {GROWTH} bytes of growth", timeout=30)
        assert self.server.api.call("GET", "/healthz")[0] == 200
        assert self.server.api.call("GET", "/readyz")[0] == 200
        assert self._policy_state() == self._policy
        assert probe(self.blocked) is ProbeResult.CLOSED

    def _check_log(self) -> None:
        """No session has two starts or two stops in the log, which has no traceback. Bursts may leave lines out."""
        lines = self.server.program.lines
        self._opened.update(_named(lines[self._read :], "session_opened"))
        self._closed.update(_named(lines[self._read :], "session_closed"))
        assert not any("Traceback" in line.text for line in lines[self._read :])
        self._read = len(lines)
        assert max(self._opened.values()) == 1
        assert max(self._closed.values(), default=1) == 1

    def restore(self) -> None:
        """Ends what a case that failed left behind, so that the next one fails for its own reasons only."""
        self.end_sessions()
        for block in self.server.api.get("/api/v1/blocks")["items"]:
            if block["reason"] != BLOCKED:
                self.server.api.unblock(block["id"])

    def _live(self) -> set[str]:
        return {session["id"] for session in self.server.sessions()}

    def _open_rows(self) -> set[str]:
        rows = [*self.history(), *self.history("alice"), *self.history("bob")]
        return {row["id"] for row in rows if row["ended_at"] is None}

    def _policy_state(self) -> tuple[Any, ...]:
        """The rules and blocks in force, and the verdict on the blocked host."""
        get = self.server.api.get
        blocks = sorted(block["cidr"] for block in get("/api/v1/blocks")["items"])
        verdict = get(f"/api/v1/explain?address={self.blocked.ipv4}")["verdict"]
        policy = get("/api/v1/policy")
        return policy["rules"], policy["files"], policy["failure"], blocks, verdict["action"]

    def _processes(self) -> list[int]:
        return process_tree(self.server.program.process.pid)

    def _growth(self) -> int:
        return self.memory() - self._memory

    def _held(self) -> Usage:
        pids = self._processes()
        threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
        targets = [target for pid in pids for target in _targets(pid)]
        connections = sum(target.endswith(DATABASE) for target in targets)
        return Usage(len(pids), threads - connections, sum(DATABASE not in target for target in targets))

    def _settled(self) -> Usage | None:
        """The usage, once two looks with an answered echo request between agree."""
        before = self._held()
        self._pings[0].await_replies(self._pings[0].replies + 5)
        return before if before == self._held() else None

    def close(self) -> None:
        lost = [ping.missing() for ping in self._pings]
        self.server.finish()
        assert lost == [[], []]


def _targets(pid: int) -> Iterator[str]:
    """What the descriptors of a process lead to."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(entry.readlink())


def _named(lines: list[Line], event: str) -> list[str]:
    """The sessions that these lines of the log name for an event."""
    found = [re.search(rf'"event": ?"{event}", ?"session": ?"(\w+)"', line.text) for line in lines]
    return [one[1] for one in found if one]


__all__ = ["SETTINGS", "USERS", "Answer", "Arena", "Usage"]
