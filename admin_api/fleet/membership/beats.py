# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that joins the fleet and beats: a connection of its own, so that no work of the server delays a beat.

The connection also listens for notifications of new changes.

It beats only while the event loop turns: a server that hangs gives its sessions up, as one that was killed does. It
ends with ``stop``, which says goodbye, so that the others need not wait for its silence. The pauses between beats
differ from node to node: after an outage their beats, and what follows from the answers, come one by one.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from admin_api.fleet.link import Link, LinkError, hosts_of
from admin_api.fleet.membership.lease import Identity, Lease, lease_clock
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.fleet.jitter import Jitter
    from admin_api.fleet.link import Row
    from admin_api.fleet.settings import FleetSettings

INTERVAL = 0.5  # seconds between two beats, on average
SHORTEST = 0.02  # seconds between two beats that are asked for
BEAT_WAIT = 0.5  # seconds for an answer
JOIN_WAIT = 2.0
LOOP_PATIENCE = 5.0  # seconds since the event loop turned: no beats after that
JOIN = "SELECT * FROM fleet.join_v2($1, $2, $3, $4, $5::bytea, make_interval(secs => $6))"
BEAT = "SELECT *, pg_postmaster_start_time() FROM fleet.beat_v2($1, $2, $3, $4, $5, $6)"
CHANNEL = "fleet"
LEAVE = "SELECT fleet.leave_v1($1, $2)"


class JoinRefusedError(Exception):
    """The fleet refuses this node; the text names the key of the configuration and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said to a beat. ``state``: ``active``, ``draining`` or ``left``, as an operator wants it.

    ``server``: tells a start of the database from another one.
    """

    identity: Identity
    fenced: bool
    state: str
    revision: int
    floor: int
    tag: str
    open_orders: bool
    server: str


@dataclass(slots=True)
class Load:
    """What the next beats report. The event loop writes it."""

    applied: int = 0
    prepared: int = 0
    sessions: int = 0


class Beats:
    """``joined``, ``answered``, ``failed`` and ``rung`` are called in this thread."""

    def __init__(
        self,
        url: str,
        settings: FleetSettings,
        lease: Lease,
        jitter: Jitter,
        *,
        joined: Callable[[Identity], None],
        answered: Callable[[Answer], None],
        failed: Callable[[str], None],
        rung: Callable[[int], None],
    ) -> None:
        """``rung`` gets the revision of a notification."""
        self._link = Link(hosts_of(url), CHANNEL)
        self._settings = settings
        self._lease = lease
        self._jitter = jitter
        self._joined, self._answered, self._failed, self._rung = joined, answered, failed, rung
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = self._closed = False
        self._thread = threading.Thread(target=self._run, name="beats", daemon=True)
        self.load = Load()
        self.turned_at = lease_clock()  # when the event loop turned last; it writes this

    def join(self) -> Identity:
        """Join, in the caller's thread, before ``start``. Raises ``JoinRefusedError`` and ``LinkError``."""
        sent_at = lease_clock()
        one = self._settings
        values = (one.name, one.instance, one.version, one.peer_url, one.secret_check, one.dead_after)
        (row,) = self._link.call(JOIN, values, JOIN_WAIT)
        status, node, epoch = row
        if status == "taken":
            text = f"fleet.name: another server is the node {one.name}; stop it, or give this one another name"
            raise JoinRefusedError(text)
        if status != "joined":
            text = "fleet.secret_file: the other nodes have another secret; copy the file from one of them"
            raise JoinRefusedError(text)
        identity = Identity(int(node or 0), int(epoch or 0))
        self._lease.join(identity, sent_at)
        return identity

    def start(self) -> None:
        self.turned_at = lease_clock()
        self._thread.start()

    def hurry(self) -> None:
        """Beat at once: something is to be reported."""
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Say goodbye and end the thread. Waits for it: up to two answers of the database."""
        if self._closed:
            return
        self._stopping = self._closed = True
        self.hurry()
        if self._thread.is_alive():
            self._thread.join()
        self._lease.end()
        self._link.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping:
            if lease_clock() - self.turned_at < LOOP_PATIENCE:
                self._beat()
            self._listen(time.monotonic())
        self._leave()

    def _listen(self, now: float) -> None:
        """Pass notifications on until the next beat is due, or is asked for and ``SHORTEST`` is over."""
        asked, earliest, due = False, now + SHORTEST, now + self._jitter.around(INTERVAL)
        while (left := (earliest if asked else due) - time.monotonic()) > 0:
            poll = select.poll()
            if not asked:
                poll.register(self._wake, select.POLLIN)
            if (socket := self._link.socket) is not None:
                poll.register(socket, select.POLLIN)
            ready = {number for number, _ in poll.poll(left * 1000)}
            for payload in self._link.bells():
                if payload.isdecimal():
                    self._rung(int(payload))
            if self._wake in ready:
                os.eventfd_read(self._wake)
                asked = True

    def _beat(self) -> None:
        identity = self._lease.identity
        sent_at = lease_clock()
        try:
            if identity is None:
                self._joined(self.join())
                return
            load = self.load
            told = (load.applied, load.prepared, load.sessions)
            values = (identity.node, identity.epoch, self._settings.instance, *told)
            (row,) = self._link.call(BEAT, values, BEAT_WAIT)
            answer = _read(identity, row)
            if answer.fenced:
                self._lease.end()
                self._lease.identity = None
                self.hurry()
            else:
                self._lease.extend(sent_at, lease_clock())
            self._answered(answer)
        except (LinkError, JoinRefusedError) as error:
            self._failed(str(error))

    def _leave(self) -> None:
        identity = self._lease.identity
        self._lease.end()
        if identity is None:
            return
        try:
            self._link.call(LEAVE, (identity.node, identity.epoch), BEAT_WAIT)
        except LinkError as error:
            self._failed(str(error))  # the others learn it by the silence


def _read(identity: Identity, row: Row) -> Answer:
    fenced, state, revision, floor, tag, open_orders, server = row
    numbers = int(revision or 0), int(floor or 0)
    return Answer(identity, fenced == "t", state or "", *numbers, tag or "", open_orders == "t", server or "")
