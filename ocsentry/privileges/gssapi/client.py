# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the GSSAPI helper: one request for each token. Implements ``Acceptor``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from typing import TYPE_CHECKING

from ocsentry.privileges.started_helper import HelperGoneError, StartedHelper
from vpn_frontend.auth.gssapi.acceptor import (
    AcceptorError,
    AcceptorOverloadError,
    Answer,
    TicketAccepted,
    TokenRefused,
    TokenWanted,
)

if TYPE_CHECKING:
    import socket
    import subprocess

    from ocsentry.privileges.helper.protocol import Document

MAX_WAITING = 1024  # tokens
DEADLINE = 10.0  # seconds for one token; it costs about a millisecond


class GssapiHelper(StartedHelper):
    name = "GSSAPI helper"
    module = "ocsentry.privileges.gssapi"
    variable = "OCSENTRY_GSSAPI_HELPER"
    without = "logins with Kerberos tickets fail"

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        super().__init__(link, process)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def accept(self, token: bytes, context: int | None = None) -> Answer:
        """See ``Acceptor``."""
        if len(self._waiting) >= MAX_WAITING:
            raise AcceptorOverloadError(f"{MAX_WAITING} tokens wait")
        self._last_id += 1
        number = self._last_id
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        request: Document = {"id": number, "token": base64.b64encode(token).decode()}
        if context is not None:
            request["context"] = context
        try:
            self.send(request)
            async with asyncio.timeout(DEADLINE):
                return await waiting
        except HelperGoneError as error:
            raise AcceptorError(str(error)) from error
        except TimeoutError:
            raise AcceptorError(f"the {self.name} did not answer in {DEADLINE:.0f} seconds") from None
        finally:
            self._waiting.pop(number, None)

    def handle_answer(self, answer: Document, descriptors: tuple[int, ...]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        if "restarted" in answer:
            self._fail(AcceptorError(f"the {self.name} crashed and was started again"))
            return
        waiting = self._waiting.get(answer.get("id", 0))
        if waiting is None or waiting.done():
            return
        try:
            waiting.set_result(_read_answer(answer))
        except (KeyError, TypeError, ValueError) as error:
            waiting.set_exception(AcceptorError(f"an answer of another form: {error!r}"))

    def handle_loss(self, error: HelperGoneError) -> None:
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


def _read_answer(answer: Document) -> Answer:
    """Raises ``KeyError``, ``TypeError`` and ``ValueError``."""
    if "reason" in answer:
        return TokenRefused(str(answer["reason"]))
    try:
        token = base64.b64decode(answer["token"], validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if "context" in answer:
        return TokenWanted(int(answer["context"]), token)
    return TicketAccepted(str(answer["principal"]), str(answer["realm"]), token)
