# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, bounds and kills the processes of PAM conversations. One thread, which never waits for a conversation."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges import linux
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message, send_message
from ocsentry.privileges.pam.child import converse, isolate

if TYPE_CHECKING:
    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.pam.libpam import LibPam
    from ocsentry.privileges.pam.scope import PamScope

MAX_USER = 64  # bytes
PR_SET_CHILD_SUBREAPER = 36
CHILDREN = Path("/proc/thread-self/children")
ORPHAN_INTERVAL = 0.1  # seconds


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The request is outside the scope or over a bound."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    descriptor: int  # pidfd: readable when the process has ended
    conversation: int
    deadline: float


class Spawner:
    """``link`` belongs to the server. ``run`` ends with it, and kills what still runs."""

    def __init__(self, library: LibPam, scope: PamScope, link: socket.socket) -> None:
        self._library = library
        self._scope = scope
        self._link = link
        self._processes: dict[int, _Process] = {}  # by pidfd
        self._orphans = False  # some were killed and have not ended yet
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    def run(self) -> None:
        linux.prctl(PR_SET_CHILD_SUBREAPER, 1)  # what modules started stays a child when its conversation has ended
        try:
            while self._handle_events():
                pass
        finally:
            for process in list(self._processes.values()):
                self._kill(process)
                self._reap(process)
            self._kill_orphans()

    def _handle_events(self) -> bool:
        """Wait for the next event. Returns False when the server is gone."""
        now = time.monotonic()
        deadlines = [process.deadline for process in self._processes.values()]
        if self._orphans:
            deadlines.append(now + ORPHAN_INTERVAL)
        wait = None if not deadlines else max(0.0, min(deadlines) - now) * 1000 + 1
        for descriptor, _ in self._poll.poll(wait):
            process = self._processes.get(descriptor)
            if process is not None:
                self._reap(process)
            elif not self._handle_request():
                return False
        now = time.monotonic()
        for process in list(self._processes.values()):
            if process.deadline <= now:
                self._kill(process)
        if self._orphans:
            self._kill_orphans()
        return True

    def _handle_request(self) -> bool:
        received = receive_message(self._link)
        if received is None:
            return False
        message, descriptors = received
        if descriptors:
            raise ProtocolError("requests carry no descriptors")
        if message.get("verb") == "end":
            for process in list(self._processes.values()):
                if process.conversation == message.get("conversation"):
                    self._kill(process)
            return True
        try:
            theirs = self._start(message)
        except Refused as error:
            send_message(self._link, {"id": message.get("id"), "error": str(error)})
            return True
        try:
            send_message(self._link, {"id": message.get("id"), "ok": True}, (theirs.fileno(),))
        finally:
            theirs.close()
        return True

    def _start(self, message: Document) -> socket.socket:
        """Start the process of one conversation; its id is that of the request. Returns the server's end."""
        number, user, address = message.get("id"), message.get("user"), message.get("address")
        if message.get("verb") != "pam" or type(number) is not int:
            raise Refused("there is no such verb")
        if not isinstance(user, str) or not 1 <= len(user.encode()) <= MAX_USER or not user.isprintable():
            raise Refused("the user name cannot be one")
        try:
            address = str(ip_address(str(address)))
        except ValueError as error:
            raise Refused("the address is none") from error
        if len(self._processes) >= self._scope.processes:
            raise Refused("too many conversations")
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                pid = self._fork(ours, user, address)
        except OSError as error:
            raise Refused(f"no process can be started: {error.strerror}") from error
        descriptor = os.pidfd_open(pid)
        self._processes[descriptor] = _Process(pid, descriptor, number, time.monotonic() + self._scope.deadline)
        self._poll.register(descriptor, select.POLLIN)
        return theirs

    def _fork(self, link: socket.socket, user: str, address: str) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            isolate(link.fileno())
            link.detach()
            converse(self._library, self._scope, socket.socket(fileno=3), user, address)
            code = 0
        finally:
            os._exit(code)

    def _kill(self, process: _Process) -> None:
        """Kill the process. It is reaped when it has ended, and what its modules started is killed then."""
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)

    def _reap(self, process: _Process) -> None:
        self._poll.unregister(process.descriptor)
        os.close(process.descriptor)
        os.waitpid(process.pid, 0)
        del self._processes[process.descriptor]
        self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Kill what modules of ended conversations left behind: children of this process that are no conversation."""
        known = {process.pid for process in self._processes.values()}
        self._orphans = False
        for pid in [int(text) for text in CHILDREN.read_text().split()]:
            if pid not in known:
                os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is its own
                self._orphans |= os.waitpid(pid, os.WNOHANG) == (0, 0)
