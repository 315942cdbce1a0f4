# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's verbs for the signing process. Their answers have no key, and no file of a key."""

from __future__ import annotations

import os
import socket
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.answer import Answer, Refused
from ocsentry.privileges.helper.files import open_file
from ocsentry.privileges.helper.protocol import receive_message, send_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope

START_DEADLINE = 20.0  # seconds: the libraries are loaded
DEADLINE = 5.0  # seconds for an answer
MAX_WORKERS = 64
MAX_NUMBER = 1 << 48
NAME = "signer"  # of the process, as ps(1) shows it


class SigningProcess:
    """Owns the socket to the process. Made before the helper's privileges are dropped."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._attached = False

    @classmethod
    def start(cls, seccomp: str, *, landlock: bool, inherited: Sequence[socket.socket]) -> SigningProcess:
        """Fork it. It closes ``inherited``. Raises ``PrivilegeError``."""
        try:
            link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                _become_signer(theirs, seccomp, landlock, (link, *inherited))
            theirs.close()
            link.settimeout(START_DEADLINE)
            received = receive_message(link)
            link.settimeout(DEADLINE)
        except OSError as error:
            text = f"process.key_isolation: the signing process cannot be started: {error.strerror or error}"
            raise PrivilegeError(text) from error
        if received is None or "error" in received[0]:
            why = "it ended at its start" if received is None else received[0]["error"]
            raise PrivilegeError(f"process.key_isolation: the signing process: {why}")
        return cls(link)

    def verbs(self) -> dict[str, Callable[[Scope, Document], Answer]]:
        return {"open_signer": self.open_signer, "load_key": self.load_key, "forget_keys": self.forget_keys}

    def open_signer(self, _: Scope, message: Document) -> Answer:
        """``count`` sockets to the process, one for each worker. Once."""
        count = message.get("count")
        if type(count) is not int or not 1 <= count <= MAX_WORKERS:
            raise Refused(f"count must be 1 to {MAX_WORKERS}")
        if self._attached:
            raise Refused("the workers have their sockets already")
        self._attached = True
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        try:
            self._ask({"verb": "attach"}, tuple(theirs.fileno() for _, theirs in pairs))
        finally:
            for pair in pairs:
                pair[1].close()
        return Answer({}, tuple(ours.detach() for ours, _ in pairs))

    def load_key(self, scope: Scope, message: Document) -> Answer:
        """Have a pair of files read, named by their keys: ``certificate``, ``private_key``, ``password_file`` or none.

        The answer has the chain and what is public of the key.
        """
        number, password = message.get("number"), message.get("password_file")
        if type(number) is not int or not 0 < number < MAX_NUMBER:
            raise Refused("the number of a key is out of range")
        key = scope.private_file(str(message.get("private_key")))
        if key is None:
            raise Refused("the configuration names no such private key")
        paths = [scope.plain_file(str(message.get("certificate"))), key]
        paths += [] if password is None else [scope.private_file(str(password))]
        descriptors: list[int] = []
        try:
            for path in paths:
                descriptors.append(open_file(path))  # noqa: PERF401 - what is open when the next fails is closed
            shown = [str(path) for path in paths[:2]]
            return Answer(self._ask({"verb": "load", "number": number, "names": shown}, tuple(descriptors)))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def forget_keys(self, _: Scope, message: Document) -> Answer:
        """Have the keys with a number below ``before`` forgotten."""
        before = message.get("before")
        if type(before) is not int or not 0 <= before < MAX_NUMBER:
            raise Refused("the number of a key is out of range")
        self._ask({"verb": "forget", "before": before}, ())
        return Answer()

    def _ask(self, message: Document, descriptors: tuple[int, ...]) -> Document:
        """Raises ``Refused`` or ``OSError``. After a missing answer the process is of no use any more."""
        try:
            send_message(self._link, message, descriptors)
            received = receive_message(self._link)
        except TimeoutError:
            self._link.close()
            raise
        except ConnectionError:
            received = None
        if received is None:
            raise Refused("the signing process is gone")
        answer, _ = received
        if "error" in answer:
            raise Refused(answer["error"])
        return answer


def _become_signer(
    link: socket.socket,
    seccomp: str,
    landlock: bool,
    inherited: Sequence[socket.socket],
) -> None:
    """Never returns."""
    status = 1
    try:
        for one in inherited:
            one.close()
        Path("/proc/self/comm").write_text(NAME)
        from ocsentry.privileges.signing.process import run  # noqa: PLC0415 - the helper needs none of its libraries

        run(link, seccomp, landlock=landlock)
        status = 0
    except BaseException:  # noqa: BLE001 - nothing above this frame is for this process
        traceback.print_exc()
    finally:
        os._exit(status)
