# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the helper: starting it, asking it, noticing its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message, send_message
from vpn_frontend.gateway.tun import TunError

if TYPE_CHECKING:
    from pathlib import Path

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope

START_DEADLINE = 30.0  # seconds: an interpreter on a busy machine
DEADLINE = 10.0  # seconds for an answer
END_DEADLINE = 5.0
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "ASAN_OPTIONS")


class HelperError(OSError):
    """The helper does not answer, or refuses."""


class Helper:
    """One helper process. ``close`` ends it. Requests of several threads go one at a time."""

    def __init__(self, scope: Scope) -> None:
        """Start the process. It acts on nothing outside ``scope``."""
        self._scope = scope
        self._keys = {path: key for key, path in scope.files.items()}
        self._lock = threading.Lock()
        self._last_id = 0
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "ocsentry.privileges.helper", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            )
        except OSError as error:
            self._link.close()
            raise PrivilegeError(f"the helper process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self.pidfd = os.pidfd_open(self._process.pid)  # readable once the helper has ended

    @property
    def pid(self) -> int:
        return self._process.pid

    def confine(self, program: bytes | None, *, landlock: bool) -> None:
        """Fix the helper's scope and restrictions. Raises ``PrivilegeError``."""
        self._link.settimeout(START_DEADLINE)
        setup = {"scope": self._scope.render(), "filter": program.hex() if program else None, "landlock": landlock}
        try:
            send_message(self._link, setup)
            received = receive_message(self._link)
        except (OSError, ProtocolError) as error:
            raise PrivilegeError(f"the helper process does not start: {error}") from error
        if received is None:
            raise PrivilegeError("the helper process ended at its start")
        if "error" in received[0]:
            raise PrivilegeError(f"helper process: {received[0]['error']}")
        self._link.settimeout(DEADLINE)

    def read_key(self, path: Path, limit: int) -> bytes:
        """At most ``limit`` bytes of a certificate or key file that the configuration names. Raises ``OSError``."""
        _, descriptors = self._ask({"verb": "read_key", "file": self._keys.get(path, "")}, 1)
        with os.fdopen(descriptors[0], "rb") as file:
            return file.read(limit)

    def open_tun(self, queues: int) -> tuple[int, ...]:
        """The queues of the TUN device, made and set up; the caller owns them. Raises ``TunError``."""
        try:
            _, descriptors = self._ask({"verb": "open_tun", "queues": queues}, queues)
        except OSError as error:
            raise TunError(error.strerror or str(error)) from error
        return descriptors

    def change_route(self, action: str, network: str) -> None:
        """``add`` or ``del`` a route for ``network`` to the TUN device. Raises ``OSError``."""
        self._ask({"verb": "route", "action": action, "network": network}, 0)

    def ended(self) -> int | None:
        """The exit status of a helper that has ended; ``None``: it runs."""
        return self._process.poll()

    def close(self) -> None:
        """End the helper, and wait for it."""
        self._link.close()
        try:
            self._process.wait(END_DEADLINE)
        except subprocess.TimeoutExpired:
            return  # it ends with its socket; the process may signal nobody any more
        finally:
            os.close(self.pidfd)

    def _ask(self, message: Document, descriptors: int) -> tuple[Document, tuple[int, ...]]:
        """Returns the answer and its descriptors, which the caller owns. Raises ``HelperError``."""
        with self._lock:
            self._last_id += 1
            try:
                send_message(self._link, {**message, "id": self._last_id})
                received = receive_message(self._link)
                while received is not None and received[0].get("id") != self._last_id:
                    _close(received[1])  # the answer to a request that was given up
                    received = receive_message(self._link)
            except (OSError, ProtocolError) as error:
                raise HelperError(0, f"the helper process does not answer ({error})") from error
        if received is None:
            raise HelperError(0, "the helper process is gone")
        answer, sent = received
        if "error" in answer:
            _close(sent)
            raise HelperError(answer.get("errno", 0), answer["error"])
        if len(sent) != descriptors:
            _close(sent)
            raise HelperError(0, "the helper process gave another answer than asked for")
        return answer, sent


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
