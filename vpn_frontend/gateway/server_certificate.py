# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's certificate chain and private key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    FileReader = Callable[[Path, int], bytes]  # at most so many bytes of a file; raises OSError

MAX_FILE = 1024 * 1024  # bytes; a long chain has 20 KB


class CertificateError(Exception):
    """The files are not a certificate and its key. The text names the file and the cause."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """``chain`` and ``key`` are PEM. ``sha1`` (hex, upper case) is compared by AnyConnect and protects nothing."""

    chain: bytes
    key: bytes
    sha1: str
    expires_at: datetime


def load_certificate(chain_file: Path, key_file: Path, read: FileReader | None = None) -> ServerCertificate:
    """Read both files, through ``read`` if the process may not itself. Raises ``CertificateError``."""
    chain, key = (read_file(path, read) for path in (chain_file, key_file))
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise CertificateError(f"{chain_file}: no certificate in PEM form") from error
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key_file}: no private key in PEM form without a password") from error
    if _encode(leaf.public_key()) != _encode(private.public_key()):
        raise CertificateError(f"{key_file} is not the key of {chain_file}")
    fingerprint = hashlib.sha1(leaf.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest().upper()
    return ServerCertificate(chain, key, fingerprint, leaf.not_valid_after_utc)


def certificate_problems(certificate: ServerCertificate, now: datetime | None = None) -> list[str]:
    """Problems that make clients refuse the certificate."""
    if certificate.expires_at <= (now or datetime.now(UTC)):
        return [f"the certificate expired on {certificate.expires_at:%Y-%m-%d}"]
    return []


def _read_directly(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)


def read_file(path: Path, read: FileReader | None = None) -> bytes:
    """At most ``MAX_FILE`` bytes of a file. Raises ``CertificateError``."""
    try:
        content = (read or _read_directly)(path, MAX_FILE + 1)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise CertificateError(f"{path}: more than {MAX_FILE} bytes")
    return content


def _encode(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
