# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, bounds and kills the processes of PAM conversations. One thread, which never waits for a conversation."""

from __future__ import annotations

import os
import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.protocol import send_message
from ocsentry.privileges.pam.child import SessionChange, converse, isolate, keep_session
from ocsentry.privileges.pam.scope import PamService
from ocsentry.privileges.supervisor import Refused, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.pam.libpam import LibPam
    from ocsentry.privileges.pam.scope import PamScope

MAX_USER = 64  # bytes
MAX_NUMBER = 20  # digits of a session's number


class Spawner(Supervisor):
    """One process for each conversation; what PAM's modules leave behind is killed."""

    def __init__(self, library: LibPam, scope: PamScope, link: socket.socket) -> None:
        super().__init__(link)
        self._library = library
        self._scope = scope

    def handle_message(self, message: Document) -> None:
        if message.get("verb") == "end":
            for process in self.running:
                if process.number == message.get("conversation"):
                    self.kill(process)
            return
        try:
            theirs = self._start(message)
        except Refused as error:
            send_message(self._link, {"id": message.get("id"), "error": str(error)})
            return
        try:
            send_message(self._link, {"id": message.get("id"), "ok": True}, (theirs.fileno(),))
        finally:
            theirs.close()

    def _start(self, message: Document) -> socket.socket:
        """Start the process of one conversation; its id is that of the request. Returns the server's end."""
        number, user = message.get("id"), message.get("user")
        if message.get("verb") not in ("pam", "session") or type(number) is not int:
            raise Refused("there is no such verb")
        if not isinstance(user, str) or not 1 <= len(user.encode()) <= MAX_USER or not user.isprintable():
            raise Refused("the user name cannot be one")
        task = self._login(message, user) if message["verb"] == "pam" else self._session(message, user)
        if len(self.running) >= self._scope.processes:
            raise Refused("too many conversations")
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                pid = self._fork(ours, task)
        except OSError as error:
            raise Refused(f"no process can be started: {error.strerror}") from error
        self.add_process(pid, number, time.monotonic() + self._scope.deadline)
        return theirs

    def _login(self, message: Document, user: str) -> Callable[[socket.socket], None]:
        """What the process of a login does. Raises ``Refused``."""
        service = PamService(str(message.get("service")), message.get("gid_min", 0))
        if service not in self._scope.services:
            raise Refused("the configuration names no such service")
        address = _address(message)
        return lambda link: converse(self._library, service, link, user, address)

    def _session(self, message: Document, user: str) -> Callable[[socket.socket], None]:
        """What the process does that opens or closes a session. Raises ``Refused``."""
        if not self._scope.session:
            raise Refused("the configuration has no sessions of PAM")
        number = str(message.get("session"))
        if len(number) > MAX_NUMBER or not (number.isascii() and number.isdigit()):
            raise Refused("the session's number is none")
        address = _address(message) if message.get("address") else ""
        change = SessionChange(self._scope.session, message.get("opens") is True, number)
        return lambda link: keep_session(self._library, change, link, user, address)

    def _fork(self, link: socket.socket, task: Callable[[socket.socket], None]) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            isolate(link.fileno())
            link.detach()
            task(socket.socket(fileno=3))
            code = 0
        finally:
            os._exit(code)


def _address(message: Document) -> str:
    """Raises ``Refused``."""
    try:
        return str(ip_address(str(message.get("address"))))
    except ValueError as error:
        raise Refused("the address is none") from error
