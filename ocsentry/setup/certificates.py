# SPDX-License-Identifier: GPL-3.0-or-later
"""Server certificates: creates a self-signed one, and inspects an existing one."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, load_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vpn_frontend.gateway.certificates.server_certificate import FileReader, ServerCertificate

VALID_FOR = timedelta(days=825)  # the longest lifetime that strict clients accept
CLOCK_SKEW = timedelta(hours=1)  # valid for a client whose clock is behind
EXPIRY_WARNING = timedelta(days=21)
MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name


class CertificatePairError(OperatorError):
    """The certificate or the key cannot be used."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Facts of a certificate. ``pin`` has the format of ``openconnect --servercert``."""

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    self_signed: bool
    pin: str


def local_names() -> list[str]:
    """Returns this host's names and loopback addresses, for a self-signed certificate."""
    names = [socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]
    return [name for name in dict.fromkeys(names) if name]


def make_self_signed(certificate: Path, private_key: Path, names: Iterable[str], now: datetime) -> None:
    """Write an ECDSA P-256 key (mode 0600) and a self-signed certificate for ``names``.

    Raises ``FileExistsError`` instead of overwriting a file.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    entries = [_general_name(name) for name in names]
    common = next((entry.value for entry in entries if isinstance(entry, x509.DNSName)), "ocsentry")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:MAX_COMMON_NAME])])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(entries), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_new(private_key, secret, 0o600)
    _write_new(certificate, signed.public_bytes(serialization.Encoding.PEM), 0o644)


def inspect_pair(
    certificate: Path, private_key: Path, read: FileReader | None = None, password_file: Path | None = None
) -> CertificateFacts:
    """Read both files, with ``read`` if given, and check that they match. Raises ``CertificatePairError``."""
    try:
        pair = load_certificate(certificate, private_key, read, password_file)
    except CertificateError as error:
        raise CertificatePairError(str(error)) from error
    return certificate_facts(pair)


def certificate_facts(pair: ServerCertificate) -> CertificateFacts:
    return _facts(x509.load_pem_x509_certificates(pair.chain)[0])


def _facts(leaf: x509.Certificate) -> CertificateFacts:
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names: tuple[str, ...] = ()
    else:
        names = tuple(str(entry.value) for entry in alternatives)
    return CertificateFacts(
        subject=leaf.subject.rfc4514_string(),
        names=names,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        self_signed=leaf.issuer == leaf.subject,
        pin="pin-sha256:" + base64.b64encode(hashlib.sha256(_public_bytes(leaf.public_key())).digest()).decode(),
    )


def expiry_problem(facts: CertificateFacts, now: datetime) -> str | None:
    """Returns why the certificate is not valid at ``now``; ``None`` if it is valid."""
    if now < facts.not_before:
        return f"not valid before {facts.not_before:%Y-%m-%d %H:%M} UTC"
    if now >= facts.not_after:
        return f"expired at {facts.not_after:%Y-%m-%d %H:%M} UTC"
    return None


def _public_bytes(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]  # every type in the union of keys has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)


def utc_now() -> datetime:
    return datetime.now(UTC)
