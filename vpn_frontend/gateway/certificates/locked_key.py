# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that a password protects: PEM, or a PKCS #12 file with key and chain. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_FAILURES = (ValueError, TypeError, UnsupportedAlgorithm)


class LockedKeyError(Exception):
    """The file cannot be opened with that password. The text says why, and nothing of the password."""


def is_pkcs12(content: bytes) -> bool:
    """True for what may be PKCS #12: a DER sequence, and no PEM."""
    return content[:1] == b"\x30"


def unlock_key(pem: bytes, password: bytes) -> bytes:
    """The key in PEM without a password. Raises ``LockedKeyError``."""
    try:
        return _encode(load_pem_private_key(pem, password))
    except _FAILURES as error:
        raise LockedKeyError("no private key in PEM form with that password") from error


def open_pkcs12(content: bytes, password: bytes | None) -> tuple[bytes, bytes]:
    """Chain and key in PEM, the certificate of the key first. Raises ``LockedKeyError``."""
    try:
        bundle = load_pkcs12(content, password)
        if bundle.cert is None or bundle.key is None:
            raise LockedKeyError("a PKCS #12 file without a certificate and its key")
        chain = (bundle.cert.certificate, *(one.certificate for one in bundle.additional_certs))
        return b"".join(one.public_bytes(Encoding.PEM) for one in chain), _encode(bundle.key)
    except _FAILURES as error:
        raise LockedKeyError("no PKCS #12 file with that password") from error


def _encode(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
