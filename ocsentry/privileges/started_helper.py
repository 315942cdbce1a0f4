# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of a helper that starts processes: its start, its messages on the event loop, its end."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from ocsentry.observability.event_catalog import LogEvent
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.client import END_DEADLINE, ENVIRONMENT, START_DEADLINE
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message, send_message

if TYPE_CHECKING:
    from ocsentry.privileges.helper.protocol import Document
    from vpn_frontend.ports import EventSink


class HelperGoneError(Exception):
    """The helper does not answer any more. The text names it."""


class Scope(Protocol):
    """What the helper may do, fixed by the first message."""

    def render(self) -> Document: ...


class StartedHelper(ABC):
    """One helper process. Call ``attach`` on the event loop before the first request, ``close`` at the end."""

    name: ClassVar[str]  # for operators
    module: ClassVar[str]  # its program
    variable: ClassVar[str]  # environment variable that names a socket of the service manager's helper
    without: ClassVar[str]  # what fails once it is gone
    folder: ClassVar[str | None] = "/"  # that it works in; ``None``: the server's

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        """Owns both; a helper that the service manager started has no ``process`` here."""
        self.events: EventSink | None = None  # is told of the helper's end
        self._link = link
        self._process = process
        self._last_id = 0
        self._attached = 0
        self._gone = False

    @classmethod
    def start(cls, scope: Scope) -> Self:
        """The helper of the variable's socket, else a new process. Raises ``PrivilegeError``."""
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = None
        try:
            if path := os.environ.get(cls.variable):
                link.close()
                link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                link.connect(path)
            else:
                command = [sys.executable, "-I", "-m", cls.module, str(theirs.fileno())]
                environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
                process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=cls.folder, env=environment
                )
            theirs.close()
            helper = cls(link, process)
            helper.begin(scope)
        except OSError as error:
            link.close()
            raise PrivilegeError(f"the {cls.name} cannot be started: {error.strerror or error}") from error
        finally:
            theirs.close()
        return helper

    def begin(self, scope: Scope) -> None:
        """Fix the scope. Raises ``PrivilegeError``; the helper is closed then."""
        self._link.settimeout(START_DEADLINE)
        try:
            send_message(self._link, {"scope": scope.render()})
            received = receive_message(self._link)
        except (OSError, ProtocolError) as error:
            self.close()
            raise PrivilegeError(f"the {self.name} does not start: {error}") from error
        if received is None or "error" in received[0]:
            self.close()
            why = "it ended at its start" if received is None else received[0]["error"]
            raise PrivilegeError(f"{self.name}: {why}")
        self._link.setblocking(False)

    async def check(self) -> str | None:
        """What /readyz says; ``None``: the helper runs."""
        return f"it is gone; {self._consequence}" if self._gone else None

    def attach(self) -> None:
        """Serve requests on the running event loop, until each call has its ``detach``."""
        self._attached += 1
        asyncio.get_running_loop().add_reader(self._link, self._receive)

    def detach(self) -> None:
        """Serve no more, if this is the last."""
        self._attached -= 1
        if self._attached:
            return
        asyncio.get_running_loop().remove_reader(self._link)
        self._lose(HelperGoneError(f"the {self.name} was closed"))

    def close(self) -> None:
        """End the helper, which kills its processes, and wait for it."""
        self._link.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_DEADLINE)

    @abstractmethod
    def handle_answer(self, answer: Document, descriptors: tuple[int, ...]) -> None:
        """One message of the helper. Ownership of the descriptors passes to this."""

    @abstractmethod
    def handle_loss(self, error: HelperGoneError) -> None:
        """No request that is open will be answered."""

    def send(self, document: Document) -> None:
        """Raises ``HelperGoneError``."""
        if self._gone:
            raise HelperGoneError(f"the {self.name} is gone")
        try:
            send_message(self._link, document)
        except OSError as error:  # also a full socket: the helper does not read
            raise HelperGoneError(f"the {self.name} does not answer ({error})") from error

    def _receive(self) -> None:
        try:
            received = receive_message(self._link)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            received = None
        if received is None:
            asyncio.get_running_loop().remove_reader(self._link)
            self._lose(HelperGoneError(f"the {self.name} is gone"))
            if self.events is not None:
                self.events.emit(LogEvent.HELPER_LOST, helper=self.name, consequence=self._consequence)
            return
        self.handle_answer(*received)

    @property
    def _consequence(self) -> str:
        return f"{self.without} until the server is restarted"

    def _lose(self, error: HelperGoneError) -> None:
        self._gone = True
        self.handle_loss(error)
