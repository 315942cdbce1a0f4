# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that come, stay and go on all nodes of a fleet, as fast as they can, and note what they saw of it.

A client holds its session *definitely* until it last asked its node whether it is there, and was answered. One that
has lost its node goes on at another with its cookie, as stock clients do.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from lab.clients.cstp_client import DPD_REQUEST, DPD_RESPONSE, Tunnel, log_in, open_tunnel
from lab.server import PASSWORD
from tests.admin_api.fleet.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.network import Host
    from lab.traffic.probes import Target
    from tests.admin_api.fleet.history import Operation

LIMIT = 2
USERS = ("alice", "bob", "carol", "dave")
CLIENTS = 8
ANSWER = 6.0  # seconds that a client waits for an answer: a node that hangs gives none
GIVE_UP = 60.0  # seconds after which a client no longer tries to come back
PAUSE = 0.1  # seconds between two questions of a client
REST = 0.3  # seconds before it asks a server again that has not answered
LOOK = 0.2  # seconds between two looks into the database
LONGEST = 0.6  # seconds that a session is held
HELD = "SELECT user_key, host(ipv4) FROM fleet.sessions WHERE NOT void"
TOO_MANY = "Too many sessions"
OPEN, FULL, OVER, SILENT = range(4)  # the answer to a CONNECT


class Clients:
    """``begin``, watch ``opened``, ``end``. ``database``: the libpq text of the one that has the rows."""

    def __init__(self, host: Host, nodes: Sequence[Target], database: Callable[[], str], seed: int) -> None:
        self.sessions, self.addresses = History(), History()
        self.opened = 0
        self.moved: list[tuple[float, str]] = []  # when, and sessions that went on with another inner address
        self._host, self._nodes, self._database = host, nodes, database
        self._stopping, self._coming = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._gone: deque[tuple[Operation, str, float]] = (
            deque()
        )  # that have ended, and wait for the database to show it
        self._errors: list[BaseException] = []
        names = [f"client {number}" for number in range(CLIENTS)]
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {name}"),), name=name, daemon=True)
            for name in names
        ]
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def begin(self) -> None:
        self._coming.set()
        for thread in (*self._threads, self._watcher):
            thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it no more clients come, as if it were night: what is busy with them has time for the rest."""
        self._coming.clear()
        yield
        self._coming.set()

    def end(self) -> None:
        """All sessions have ended."""
        self._stopping.set()
        self._coming.set()
        for thread in (*self._threads, self._watcher):
            thread.join()
        assert not self._errors, self._errors

    def until_more(self, count: int, at_most: float) -> bool:
        """Wait for so many more sessions, or some seconds. Returns whether they came."""
        with self._changed:
            wanted = self.opened + count
            return self._changed.wait_for(lambda: self.opened >= wanted or bool(self._errors), at_most)

    def _run(self, chosen: random.Random) -> None:
        try:
            while self._coming.wait() and not self._stopping.is_set():
                self._client(chosen)
        except BaseException as error:  # noqa: BLE001 - shown by ``end``
            self._errors.append(error)

    def _client(self, chosen: random.Random) -> None:
        user, node = chosen.choice(USERS), chosen.choice(self._nodes)
        cookie = ""
        with suppress(OSError, ValueError):
            cookie = log_in(self._host, user, PASSWORD, target=node, timeout=ANSWER)
        if not cookie:
            self._stopping.wait(REST)
            return
        seen = self.sessions.begin(user, time.monotonic())
        earlier, until = "", time.monotonic() + chosen.random() * LONGEST
        give_up = time.monotonic() + GIVE_UP
        while True:
            answer, tunnel = self._open(cookie, node)
            seen.answered = time.monotonic()
            if answer is FULL and not earlier:
                seen.result = "full"
                return
            if answer is OVER or (answer is FULL and earlier):
                seen.answered, seen.confirmed = float("inf"), time.monotonic()  # it holds nothing, if it ever did
                return
            if tunnel is None:
                seen.answered = float("inf")
                if time.monotonic() > give_up:
                    return
                self._stopping.wait(REST)
                node = chosen.choice(self._nodes)
                continue
            if earlier not in ("", tunnel.ipv4):
                self.moved.append((seen.answered, f"{user}: {earlier}, then {tunnel.ipv4}"))
            earlier = tunnel.ipv4
            if self._hold(seen, tunnel, until):
                return
            again = self.sessions.begin(user, time.monotonic())
            seen.confirmed = again.called  # from now on it is the other's
            seen, node = again, chosen.choice(self._nodes)
            give_up = time.monotonic() + GIVE_UP

    def _open(self, cookie: str, node: Target) -> tuple[int, Tunnel | None]:
        try:
            tunnel = open_tunnel(self._host, cookie, target=node, timeout=ANSWER)
        except (OSError, ValueError):
            return SILENT, None
        if isinstance(tunnel, Tunnel):
            return OPEN, tunnel
        if TOO_MANY in tunnel.first("x-reason"):
            return FULL, None
        return (OVER if tunnel.status == 401 else SILENT), None

    def _hold(self, seen: Operation, tunnel: Tunnel, until: float) -> bool:
        """Returns False if the node was lost. The session is the client's until its last answered question."""
        address = self.addresses.begin(tunnel.ipv4, seen.called)
        for one in (seen, address):
            one.result, one.answered, one.released = "ok", seen.answered, seen.answered
        with self._changed:
            self.opened += 1
            self._changed.notify_all()
        try:
            while True:
                asked = time.monotonic()
                answered = _is_alive(tunnel)
                if not answered:
                    tunnel.stream.close()
                    return False
                seen.released = address.released = asked
                if time.monotonic() > until or self._stopping.is_set():
                    break
                time.sleep(PAUSE)
            tunnel.disconnect()
        except OSError:
            return False
        self._gone.append((seen, tunnel.ipv4, time.monotonic()))
        return True

    def _watch(self) -> None:
        """Confirm the end of a session once the database was asked after it, and no longer had it."""
        while not self._stopping.wait(LOOK) or any(thread.is_alive() for thread in self._threads):
            if not self._gone:
                continue
            asked = time.monotonic()
            try:
                with psycopg.connect(self._database(), connect_timeout=2, options="-c statement_timeout=2000") as one:
                    held = set(one.execute(HELD).fetchall())
            except psycopg.Error:
                continue
            now = time.monotonic()
            for _ in range(len(self._gone)):
                seen, address, ended = self._gone.popleft()
                if ended < asked and (seen.key, address) not in held:
                    seen.confirmed = now
                else:
                    self._gone.append((seen, address, ended))


def _is_alive(tunnel: Tunnel) -> bool:
    """As ``Tunnel.answers``, and answers the node's own question, which it may have beside another login."""
    try:
        tunnel.send(DPD_REQUEST, b"alive?")
        while True:
            kind, payload = tunnel.receive()
            if kind == DPD_RESPONSE:
                return True
            if kind == DPD_REQUEST:
                tunnel.send(DPD_RESPONSE, payload)
    except (OSError, ValueError):
        return False
