# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the PAM helper: starting it, opening conversations on the event loop, killing them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.client import END_DEADLINE, ENVIRONMENT, START_DEADLINE
from ocsentry.privileges.helper.protocol import MAX_MESSAGE, ProtocolError, parse_packet, receive_message, send_message
from vpn_frontend.auth.pam.conversation import ConversationError, parse_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.pam.scope import PamScope
    from vpn_frontend.auth.pam.conversation import Ended, Question
    from vpn_frontend.settings import Address

SOCKET_VARIABLE = "OCSENTRY_PAM_HELPER"


class PamHelper:
    """One helper process. Call ``attach`` on the event loop before the first conversation, ``close`` at the end."""

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        """Owns both; a helper that the service manager started has no ``process`` here."""
        self._link = link
        self._process = process
        self._last_id = 0
        self._opening: dict[int, asyncio.Future[socket.socket]] = {}
        self._gone = False

    @classmethod
    def start(cls, scope: PamScope) -> PamHelper:
        """The helper of ``$OCSENTRY_PAM_HELPER`` (a socket), else a new process. Raises ``PrivilegeError``."""
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = None
        try:
            if path := os.environ.get(SOCKET_VARIABLE):
                link.close()
                link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                link.connect(path)
            else:
                command = [sys.executable, "-I", "-m", "ocsentry.privileges.pam", str(theirs.fileno())]
                environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
                process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/", env=environment
                )
            theirs.close()
            helper = cls(link, process)
            helper.begin(scope)
        except OSError as error:
            link.close()
            raise PrivilegeError(f"the PAM helper cannot be started: {error.strerror or error}") from error
        finally:
            theirs.close()
        return helper

    def begin(self, scope: PamScope) -> None:
        """Fix the scope. Raises ``PrivilegeError``; the helper is closed then."""
        self._link.settimeout(START_DEADLINE)
        try:
            send_message(self._link, {"scope": scope.render()})
            received = receive_message(self._link)
        except (OSError, ProtocolError) as error:
            self.close()
            raise PrivilegeError(f"the PAM helper does not start: {error}") from error
        if received is None or "error" in received[0]:
            self.close()
            raise PrivilegeError(f"PAM helper: {'it ended at its start' if received is None else received[0]['error']}")
        self._link.setblocking(False)

    async def check(self) -> str | None:
        """What /readyz says; ``None``: the helper runs."""
        return "it is gone; logins by PAM fail until the server is restarted" if self._gone else None

    def attach(self) -> None:
        """Serve conversations on the running event loop."""
        asyncio.get_running_loop().add_reader(self._link, self._receive)

    def detach(self) -> None:
        """Serve no more."""
        asyncio.get_running_loop().remove_reader(self._link)
        self._lose(ConversationError("the PAM helper was closed"))

    def close(self) -> None:
        """End the helper, which kills its conversations, and wait for it."""
        self._link.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_DEADLINE)

    async def open_conversation(self, user: str, address: Address) -> PamConversation:
        """Start a process for ``user``. Raises ``ConversationError``."""
        self._last_id += 1
        number = self._last_id
        opening: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._opening[number] = opening
        try:
            self.send({"verb": "pam", "id": number, "user": user, "address": str(address)})
            return PamConversation(self, number, await opening)
        except asyncio.CancelledError:
            self.end(number)
            raise
        finally:
            self._opening.pop(number, None)

    def end(self, number: int) -> None:
        """Kill the process of a conversation, if it still runs."""
        with suppress(ConversationError):
            self.send({"verb": "end", "conversation": number})

    def send(self, document: Document) -> None:
        if self._gone:
            raise ConversationError("the PAM helper is gone")
        try:
            send_message(self._link, document)
        except OSError as error:  # also a full socket: the helper does not read
            raise ConversationError(f"the PAM helper does not answer ({error})") from error

    def _receive(self) -> None:
        try:
            received = receive_message(self._link)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            received = None
        if received is None:
            asyncio.get_running_loop().remove_reader(self._link)
            self._lose(ConversationError("the PAM helper is gone"))
            return
        answer, descriptors = received
        links = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        opening = self._opening.get(answer.get("id", 0))
        if opening is not None and not opening.done() and len(links) == 1:
            links[0].setblocking(False)
            opening.set_result(links.pop())
        elif opening is not None and not opening.done():
            opening.set_exception(ConversationError(str(answer.get("error", "an answer of another form"))))
        for link in links:
            link.close()

    def _lose(self, error: ConversationError) -> None:
        self._gone = True
        for opening in self._opening.values():
            if not opening.done():
                opening.set_exception(error)


class PamConversation:
    """One conversation. Implements ``vpn_frontend.auth.pam.conversation.Conversation``."""

    def __init__(self, helper: PamHelper, number: int, link: socket.socket) -> None:
        self._helper = helper
        self._number = number
        self._link = link

    async def receive(self) -> Question | Ended:
        try:
            packet = await asyncio.get_running_loop().sock_recv(self._link, MAX_MESSAGE)
            document = parse_packet(packet)
        except (OSError, ProtocolError) as error:
            raise ConversationError(f"the process of the conversation does not answer: {error}") from error
        if document is None:
            raise ConversationError("the process of the conversation ended")
        return parse_message(document)

    async def answer(self, texts: Sequence[str]) -> None:
        try:
            send_message(self._link, {"answers": list(texts)})
        except OSError as error:
            raise ConversationError(f"the process of the conversation is gone: {error}") from error

    def close(self) -> None:
        self._link.close()
        self._helper.end(self._number)
