# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of a helper that starts processes for the server: it bounds their time, and never waits for one."""

from __future__ import annotations

import os
import select
import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges import linux
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ocsentry.privileges.helper.protocol import Document

PR_SET_CHILD_SUBREAPER = 36
CHILDREN = Path("/proc/thread-self/children")
ORPHAN_INTERVAL = 0.1  # seconds


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The request is outside the scope or over a bound."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    descriptor: int  # pidfd: readable when the process has ended
    number: int  # of the request that started it
    deadline: float


class Supervisor(ABC):
    """``link`` belongs to the server. ``run`` ends with it, and kills what still runs."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._processes: dict[int, Process] = {}  # by pidfd
        self._orphans = False  # some were killed and have not ended yet
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    @abstractmethod
    def handle_message(self, message: Document) -> None:
        """One request of the server. Answers it, also with a refusal."""

    def has_ended(self, process: Process, status: int) -> None:  # noqa: B027 - most have nothing to say then
        """A process has ended with this wait status, and is reaped."""

    def is_readable(self, descriptor: int) -> None:  # noqa: B027 - most watch nothing else
        """A descriptor of ``watch`` has something to read, or its writers are gone."""

    def run(self) -> None:
        linux.prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a process leaves behind becomes a child of this one
        try:
            while self._handle_events():
                pass
        finally:
            for process in list(self._processes.values()):
                self.kill(process)
                self._reap(process)
            self._kill_orphans()

    @property
    def running(self) -> Sequence[Process]:
        return [*self._processes.values()]

    def add_process(self, pid: int, number: int, deadline: float) -> Process:
        """Supervise a child of this process. ``deadline`` is monotonic."""
        process = Process(pid, os.pidfd_open(pid), number, deadline)
        self._processes[process.descriptor] = process
        self._poll.register(process.descriptor, select.POLLIN)
        return process

    def watch(self, descriptor: int) -> None:
        self._poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)

    def kill(self, process: Process) -> None:
        """Kill the process. It is reaped when it has ended, and what it left behind is killed then."""
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)

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
            elif descriptor != self._link.fileno():
                self.is_readable(descriptor)
            elif not self._receive():
                return False
        now = time.monotonic()
        for process in list(self._processes.values()):
            if process.deadline <= now:
                self.kill(process)
        if self._orphans:
            self._kill_orphans()
        return True

    def _receive(self) -> bool:
        received = receive_message(self._link)
        if received is None:
            return False
        message, descriptors = received
        if descriptors:
            raise ProtocolError("requests carry no descriptors")
        self.handle_message(message)
        return True

    def _reap(self, process: Process) -> None:
        self._poll.unregister(process.descriptor)
        os.close(process.descriptor)
        _, status = os.waitpid(process.pid, 0)
        del self._processes[process.descriptor]
        self._kill_orphans()
        self.has_ended(process, status)

    def _kill_orphans(self) -> None:
        """Kill what ended processes left behind: children of this process that it does not supervise."""
        known = {process.pid for process in self._processes.values()}
        self._orphans = False
        for pid in [int(text) for text in CHILDREN.read_text().split()]:
            if pid not in known:
                os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is its own
                self._orphans |= os.waitpid(pid, os.WNOHANG) == (0, 0)
