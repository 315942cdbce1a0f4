# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, bounds and kills the processes of PAM conversations. One thread, which never waits for a conversation."""

from __future__ import annotations

import os
import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.protocol import send_message
from ocsentry.privileges.pam.child import converse, isolate
from ocsentry.privileges.supervisor import Refused, Supervisor

if TYPE_CHECKING:
    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.pam.libpam import LibPam
    from ocsentry.privileges.pam.scope import PamScope

MAX_USER = 64  # bytes


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
        number, user, address = message.get("id"), message.get("user"), message.get("address")
        if message.get("verb") != "pam" or type(number) is not int:
            raise Refused("there is no such verb")
        if not isinstance(user, str) or not 1 <= len(user.encode()) <= MAX_USER or not user.isprintable():
            raise Refused("the user name cannot be one")
        try:
            address = str(ip_address(str(address)))
        except ValueError as error:
            raise Refused("the address is none") from error
        if len(self.running) >= self._scope.processes:
            raise Refused("too many conversations")
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                pid = self._fork(ours, user, address)
        except OSError as error:
            raise Refused(f"no process can be started: {error.strerror}") from error
        self.add_process(pid, number, time.monotonic() + self._scope.deadline)
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
