# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the signing process, a fork of the helper: key files come from the helper, questions from the workers.

    helper ── open files ──> this process <── digests, signatures ──> workers of the gateway

It opens no file and makes no socket. It ends when the helper and all workers are gone.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ocsentry.privileges import capabilities
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.filters import Role, build
from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.landlock import Port
from ocsentry.privileges.reach import Reach
from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.certificates.server_certificate import MAX_FILE, CertificateError, parse_files

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ocsentry.privileges.helper.protocol import Document
    from vpn_frontend._gateway import SignerPointer
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate

MAX_CHAIN = 48 * 1024  # bytes of PEM: the answer is one message
ERROR_SIZE = 256
NOWHERE = Reach((), ())


def run(link: socket.socket, seccomp: str, *, landlock: bool) -> None:
    """Serve the helper at ``link``. The first message says that the restrictions are in force, or why not."""
    try:
        program = None if seccomp == "off" else build(Role.SIGNER, seccomp)
        reach = NOWHERE if landlock else None
        drop(Restrictions(None, program, reach, capabilities.NONE, Port.BIND | Port.CONNECT))
    except PrivilegeError as error:
        send_message(link, {"error": str(error)})
        return
    send_message(link, {"ok": True})
    keys = SigningKeys()
    while (received := receive_message(link)) is not None:
        message, descriptors = received
        try:
            answer = keys.handle(message, descriptors)
        except CertificateError as error:
            answer = {"error": str(error)}
        send_message(link, answer)
    keys.wait_for_workers()


class SigningKeys:
    """One signer and one thread for each worker of the gateway."""

    def __init__(self) -> None:
        self._signers: list[SignerPointer] = []
        self._threads: list[threading.Thread] = []

    def handle(self, message: Document, descriptors: tuple[int, ...]) -> Document:
        """One message of the helper, and its descriptors, which this owns. Raises ``CertificateError``."""
        match message["verb"]:
            case "attach":
                self._attach(descriptors)
            case "load":
                return self._load(message, descriptors)
            case "forget":
                for signer in self._signers:
                    lib.gw_signer_forget(signer, message["before"])
        return {"ok": True}

    def wait_for_workers(self) -> None:
        for thread in self._threads:
            thread.join()

    def _attach(self, sockets: Sequence[int]) -> None:
        for descriptor in sockets:
            signer = lib.gw_signer_new()
            if not signer:
                raise CertificateError("no memory or random numbers for a signer")
            self._signers.append(signer)
            thread = threading.Thread(target=lib.gw_signer_serve, args=(signer, descriptor), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _load(self, message: Document, descriptors: tuple[int, ...]) -> Document:
        """``names``: the paths of certificate and key, for messages. The descriptors: theirs and a password file's."""
        chain, key, *password = [_read_and_close(one) for one in descriptors]
        chain_file, key_file = message["names"]
        pair = parse_files(chain, key, chain_file, key_file, password[0] if password else None)
        if len(pair.chain) > MAX_CHAIN:
            raise CertificateError(f"{chain_file}: a chain of more than {MAX_CHAIN} bytes; remove the root")
        self._add(message["number"], pair, key_file)
        return {
            "chain": pair.chain.decode("latin-1"),
            "key_type": int(pair.key_type),
            "sha1": pair.sha1,
            "expires_at": pair.expires_at.timestamp(),
            "self_signed": pair.self_signed,
            "name": pair.name,
        }

    def _add(self, number: int, pair: ServerCertificate, file: str) -> None:
        private = load_pem_private_key(pair.key, password=None)
        form = PrivateFormat.PKCS8
        der = private.private_bytes(Encoding.DER, form, NoEncryption())
        error = ffi.new("char[]", ERROR_SIZE)
        for signer in self._signers:
            if lib.gw_signer_add(signer, number, int(pair.key_type), der, len(der), error, ERROR_SIZE):
                raise CertificateError(f"{file}: {ffi.string(error).decode('latin-1')}")


def _read_and_close(descriptor: int) -> bytes:
    pieces, size = list[bytes](), 0
    try:
        while size <= MAX_FILE and (piece := os.read(descriptor, MAX_FILE + 1 - size)):
            pieces.append(piece)
            size += len(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces)
