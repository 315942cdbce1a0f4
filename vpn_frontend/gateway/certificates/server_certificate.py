# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's certificate chain and private key."""

from __future__ import annotations

import hashlib
from dataclasses import field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.locked_key import LockedKeyError, is_pkcs12, open_pkcs12, unlock_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    FileReader = Callable[[Path, int], bytes]  # at most so many bytes of a file; raises OSError

MAX_FILE = 1024 * 1024  # bytes; a long chain has 20 KB
MIN_RSA_BITS = 2048


class CertificateError(Exception):
    """The files are not a certificate and its key. The text names the file and the cause."""


class KeyType(IntEnum):
    """What signs handshakes, numbered as ``enum gw_key_type``."""

    RSA = 1
    P256 = 2
    P384 = 3
    P521 = 4
    ED25519 = 5


CURVES = {"secp256r1": KeyType.P256, "secp384r1": KeyType.P384, "secp521r1": KeyType.P521}


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """``chain`` and ``key`` are PEM; the key is empty if the signing process has it.

    ``sha1`` (hex, upper case) is compared by AnyConnect and protects nothing.
    """

    chain: bytes
    key: bytes = field(repr=False)
    key_type: KeyType
    sha1: str
    expires_at: datetime
    self_signed: bool
    name: str = ""  # its first name of a public host; empty: it has none
    ocsp: bytes = b""  # a response in DER that is stapled; empty: none
    signer_key: int = 0  # id of the key in the signing process; 0: ``key`` has it


def load_certificate(
    chain_file: Path, key_file: Path, read: FileReader | None = None, password_file: Path | None = None
) -> ServerCertificate:
    """Read the files, through ``read`` if the process may not itself. Raises ``CertificateError``.

    Both may be one PKCS #12 file. ``password_file``: its first line opens that, or the key.
    """
    chain, key = (read_file(path, read) for path in (chain_file, key_file))
    return parse_files(
        chain, key, chain_file, key_file, None if password_file is None else read_file(password_file, read)
    )


def parse_files(
    chain: bytes, key: bytes, chain_file: Path | str, key_file: Path | str, password_lines: bytes | None = None
) -> ServerCertificate:
    """As ``load_certificate``, of contents."""
    password = None if password_lines is None else password_lines.splitlines()[:1]
    try:
        if chain_file == key_file and is_pkcs12(chain):
            chain, key = open_pkcs12(chain, password[0] if password else None)
        elif password is not None:
            key = unlock_key(key, password[0] if password else b"")
    except LockedKeyError as error:
        raise CertificateError(f"{key_file}: {error}") from error
    return parse_certificate(chain, key, chain_file, key_file)


def parse_certificate(
    chain: bytes, key: bytes, chain_file: Path | str = "chain", key_file: Path | str = "key"
) -> ServerCertificate:
    """Check a chain and its key. Raises ``CertificateError``, which names the files."""
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
    return ServerCertificate(
        chain,
        key,
        _key_type(private, key_file),
        fingerprint,
        leaf.not_valid_after_utc,
        self_signed=leaf.issuer == leaf.subject,
        name=_name_of(leaf),
    )


def _name_of(leaf: x509.Certificate) -> str:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    return next((name for name in found.get_values_for_type(x509.DNSName) if "." in name and "*" not in name), "")


def _key_type(key: object, file: Path | str) -> KeyType:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise CertificateError(f"{file}: {key.key_size} bits, an RSA key needs {MIN_RSA_BITS}")
        return KeyType.RSA
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyType.ED25519
    found = CURVES.get(key.curve.name) if isinstance(key, ec.EllipticCurvePrivateKey) else None
    if found is None:
        raise CertificateError(f"{file}: no RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key")
    return found


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
