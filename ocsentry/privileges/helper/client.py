# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the helper: starting it, asking it, noticing its end."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message, send_message
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, KeyType, ServerCertificate
from vpn_frontend.gateway.sockets import ListenError
from vpn_frontend.gateway.tun import TunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope
    from vpn_frontend.gateway.descriptors import Rows
    from vpn_frontend.settings import CertificateFiles, Endpoint

START_DEADLINE = 30.0  # seconds: an interpreter on a busy machine
DEADLINE = 10.0  # seconds for an answer
END_DEADLINE = 5.0
SOCKET_VARIABLE = "OCSENTRY_HELPER"
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "ASAN_OPTIONS")


class HelperError(OSError):
    """The helper does not answer, or refuses."""


class Helper:
    """One helper process. ``close`` ends it. Requests of several threads go one at a time."""

    def __init__(self, scope: Scope, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        """Owns ``link`` and ``process``; a helper that the service manager started has no ``process`` here."""
        self._scope = scope
        self._keys = {path: key for key, path in scope.files.items()}
        self._private = {scope.files[key]: key for key in scope.private_files}
        self._lock = threading.Lock()
        self._last_id = 0
        self._link = link
        self._process = process

    @classmethod
    def start(cls, scope: Scope) -> Helper:
        """The helper of ``$OCSENTRY_HELPER`` (a socket), else a new process. Raises ``PrivilegeError``."""
        try:
            link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise PrivilegeError(f"the helper process cannot be started: {error.strerror}") from error
        try:
            if path := os.environ.get(SOCKET_VARIABLE):
                link.close()
                link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                link.connect(path)
                return cls(scope, link, None)
            command = [sys.executable, "-I", "-m", "ocsentry.privileges.helper", str(theirs.fileno())]
            environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            return cls(
                scope,
                link,
                subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/", env=environment
                ),
            )
        except OSError as error:
            link.close()
            raise PrivilegeError(f"the helper process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()

    def fileno(self) -> int:
        """Readable when ``has_ended`` is worth asking."""
        return self._link.fileno()

    def confine(self, *, seccomp: str, landlock: bool) -> None:
        """Fix the helper's scope and restrictions. Raises ``PrivilegeError``."""
        self._link.settimeout(START_DEADLINE)
        try:
            send_message(self._link, {"scope": self._scope.render(), "seccomp": seccomp, "landlock": landlock})
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

    def name_files(self, plain: Iterable[Path], private: Iterable[Path]) -> None:
        """Name files that the configuration did not have at the start. Raises ``OSError``.

        ``private`` are for ``load_key``, if a process of its own has the private keys.
        """
        for paths, names, is_private in ((plain, self._keys, False), (private, self._private, True)):
            for path in paths:
                if path not in names:
                    answer, _ = self._ask({"verb": "name_file", "path": str(path), "private": is_private}, 0)
                    names[path] = answer["name"]

    def open_signer(self, workers: int) -> tuple[int, ...]:
        """Sockets to the signing process, one per worker; the caller owns them. Raises ``OSError``."""
        return self._ask({"verb": "open_signer", "count": workers}, workers)[1]

    def load_key(self, files: CertificateFiles, number: int) -> ServerCertificate:
        """As ``SigningProcess`` of the VPN, as is the next."""
        message: Document = {"verb": "load_key", "number": number, "certificate": self._keys.get(files.certificate, "")}
        message["private_key"] = self._private.get(files.private_key, "")
        if files.password_file is not None:
            message["password_file"] = self._private.get(files.password_file, "")
        try:
            answer, _ = self._ask(message, 0)
        except OSError as error:
            text = error.strerror or str(error)
            raise CertificateError(
                text if str(files.private_key.parent) in text else f"{files.private_key}: {text}"
            ) from error
        return ServerCertificate(
            answer["chain"].encode("latin-1"),
            b"",
            KeyType(answer["key_type"]),
            answer["sha1"],
            datetime.fromtimestamp(answer["expires_at"], UTC),
            self_signed=answer["self_signed"],
            name=answer["name"],
            signer_key=number,
        )

    def forget_keys(self, before: int) -> None:
        self._ask({"verb": "forget_keys", "before": before}, 0)

    def bind_listeners(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        """As ``sockets.bind_listeners``. Raises ``ListenError``."""
        return self._open_sockets("tcp", endpoints, workers)

    def open_datagram_sockets(self, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        """As ``sockets.open_datagram_sockets``. Raises ``ListenError``."""
        return self._open_sockets("udp", endpoints, workers)

    def _open_sockets(self, protocol: str, endpoints: Iterable[Endpoint], workers: int) -> Rows:
        columns: list[tuple[int, ...]] = []
        try:
            for endpoint in endpoints:
                message = {"verb": "open_sockets", "protocol": protocol, "endpoint": str(endpoint), "count": workers}
                columns.append(self._ask(message, workers)[1])
        except OSError as error:
            for column in columns:
                _close(column)
            raise ListenError(error.strerror or str(error)) from error
        return tuple(zip(*columns, strict=True))

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

    def open_filter(self) -> None:
        """Replace the table of the packet filter by an empty one. Raises ``OSError``."""
        self._ask({"verb": "open_filter"}, 0)

    def change_filter(self, remove: Sequence[str], add: Sequence[tuple[str, int]]) -> None:
        """Remove networks from the kernel's sets, then add networks for a number of seconds (0: without end).

        Raises ``OSError``; then nothing has changed, or the helper did not answer.
        """
        self._ask({"verb": "change_filter", "remove": remove, "add": add}, 0)

    def read_filter(self) -> dict[str, int]:
        """Packets that the kernel dropped since ``open_filter``, by family. Raises ``OSError``."""
        answer, _ = self._ask({"verb": "read_filter"}, 0)
        return {family: answer[family] for family in ("ipv4", "ipv6")}

    def has_ended(self) -> bool:
        """True: no further request will be answered. Does not take an answer that another thread waits for."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            waiting = select.poll()
            waiting.register(self._link, select.POLLIN)
            return bool(waiting.poll(0)) and not self._link.recv(1, socket.MSG_PEEK)
        except OSError:
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the helper, and wait for it. It ends with its socket: this process may signal no other."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)  # a thread that waits for an answer gets none
        self._link.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_DEADLINE)

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
            except ConnectionError:
                received = None
            except (OSError, ProtocolError) as error:
                raise HelperError(0, f"the helper process does not answer ({error})") from error
        if received is None:
            raise HelperError(errno.EPIPE, "the helper process is gone")
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
