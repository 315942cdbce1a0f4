# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the PAM helper: opening conversations on the event loop, killing them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.protocol import MAX_MESSAGE, ProtocolError, parse_packet, send_message
from ocsentry.privileges.started_helper import HelperGoneError, StartedHelper
from sentry_engine.records import dataclass
from vpn_frontend.auth.pam.conversation import ConversationError, parse_message

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.pam.scope import PamService
    from vpn_frontend.auth.pam.conversation import Ended, Question
    from vpn_frontend.settings import Address


class PamHelper(StartedHelper):
    """One helper process, with a process for each conversation."""

    name = "PAM helper"
    module = "ocsentry.privileges.pam"
    variable = "OCSENTRY_PAM_HELPER"
    without = "logins by PAM fail"

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        super().__init__(link, process)
        self._opening: dict[int, asyncio.Future[socket.socket]] = {}

    async def open_conversation(self, user: str, address: Address, service: PamService) -> PamConversation:
        """Start a process for the login of ``user``. Raises ``ConversationError``."""
        return await self._open({"verb": "pam", "user": user, "address": str(address), **asdict(service)})

    async def open_change(self, user: str, address: str, session: str, *, opens: bool) -> PamConversation:
        """Start a process that opens or closes the PAM session of a session. Raises ``ConversationError``.

        ``address`` is empty where it is not known.
        """
        return await self._open(
            {"verb": "session", "user": user, "address": address, "session": session, "opens": opens}
        )

    async def _open(self, request: Document) -> PamConversation:
        self._last_id += 1
        number = self._last_id
        opening: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._opening[number] = opening
        try:
            self.send({**request, "id": number})
            return PamConversation(self, number, await opening)
        except HelperGoneError as error:
            raise ConversationError(str(error)) from error
        except asyncio.CancelledError:
            self.end(number)
            raise
        finally:
            self._opening.pop(number, None)

    def end(self, number: int) -> None:
        """Kill the process of a conversation, if it still runs."""
        with suppress(HelperGoneError):
            self.send({"verb": "end", "conversation": number})

    def handle_answer(self, answer: Document, descriptors: tuple[int, ...]) -> None:
        links = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        opening = self._opening.get(answer.get("id", 0))
        if opening is not None and not opening.done() and len(links) == 1:
            links[0].setblocking(False)
            opening.set_result(links.pop())
        elif opening is not None and not opening.done():
            opening.set_exception(ConversationError(str(answer.get("error", "an answer of another form"))))
        for link in links:
            link.close()

    def handle_loss(self, error: HelperGoneError) -> None:
        for opening in self._opening.values():
            if not opening.done():
                opening.set_exception(error)


@dataclass(frozen=True, slots=True)
class LoginOpener:
    """Implements ``vpn_frontend.auth.pam.conversation.ConversationOpener``, for one service."""

    helper: PamHelper
    service: PamService

    async def open_conversation(self, user: str, address: Address) -> PamConversation:
        return await self.helper.open_conversation(user, address, self.service)


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
