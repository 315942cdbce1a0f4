# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys that a process of its own has, the signing process: this one knows their numbers only.

A number is a generation (a reading of all files) and an index in it. Handshakes under way finish with the keys of the
generation before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate
    from vpn_frontend.settings import CertificateFiles

INDEX_BITS = 16


class SigningProcess(Protocol):
    def load_key(self, files: CertificateFiles, number: int) -> ServerCertificate:
        """Has the process read a certificate and its key, and know it as ``number``. Replaces one of that number.

        Returns the certificate without its key. Raises ``CertificateError``.
        """

    def forget_keys(self, before: int) -> None:
        """Has the process forget keys with smaller numbers. Raises ``OSError``."""


class KeyGenerations:
    """Numbers the keys. One reading of the files at a time: ``begin``, and ``commit`` once the gateway uses them."""

    def __init__(self, process: SigningProcess) -> None:
        self._process = process
        self._generation = 1

    def begin(self) -> Callable[[CertificateFiles], ServerCertificate]:
        """The loader of the next reading. One that was not committed is replaced."""
        number = self._generation << INDEX_BITS

        def load(files: CertificateFiles) -> ServerCertificate:
            nonlocal number
            number += 1
            return self._process.load_key(files, number)

        return load

    def commit(self) -> None:
        """The gateway uses the keys of the last reading. Raises ``OSError``: old keys stay a while longer."""
        self._generation += 1
        self._process.forget_keys((self._generation - 2) << INDEX_BITS)
