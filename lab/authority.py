# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority of client certificates for tests: certificates, revocation lists, and the files that clients need."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """What `openconnect -c CERTIFICATE -k KEY` takes."""

    certificate: Path
    key: Path
    der: bytes

    @property
    def arguments(self) -> tuple[str, str]:
        return f"--certificate={self.certificate}", f"--sslkey={self.key}"


class Authority:
    """Its files are in a folder of its own."""

    def __init__(self, folder: Path, name: str = "lab CA", *, usage: x509.KeyUsage | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        extensions: list[tuple[x509.ExtensionType, bool]] = [(constraints, True)]
        if usage is not None:
            extensions.append((usage, True))
        self.certificate = self._sign(self._name, self._key.public_key(), extensions, 30 * DAY)
        self.pem = self.certificate.public_bytes(PEM)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.pem)

    def issue(
        self,
        label: str,
        subject: Sequence[x509.NameAttribute] | None = None,
        *,
        names: Iterable[x509.GeneralName] = (),
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        lifetime: timedelta = DAY,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> ClientFiles:
        """A certificate with the common name `label`, or with `subject`. A negative `lifetime`: expired."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        given = [x509.NameAttribute(NameOID.COMMON_NAME, label)] if subject is None else subject
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage([purpose]), False)]
        if others := list(names):
            extensions.append((x509.SubjectAlternativeName(others), False))
        made = self._sign(x509.Name(given), key.public_key(), extensions, lifetime)
        files = ClientFiles(self._folder / f"{label}.crt", self._folder / f"{label}.key", made.public_bytes(DER))
        files.certificate.write_bytes(made.public_bytes(PEM))
        plain = serialization.NoEncryption()
        files.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))
        return files

    def revoke(self, *clients: ClientFiles, now: datetime | None = None, lifetime: timedelta = DAY) -> bytes:
        """A list of these certificates in PEM. A negative `lifetime`: past its next update."""
        now = now or datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - 2 * DAY)
            .next_update(now + lifetime)
        )
        for client in clients:
            serial = x509.load_der_x509_certificate(client.der).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    def respond(self, folder: Path, certificate: Path, *, days: int = 1, revoked: bool = False) -> Path:
        """An OCSP response for a certificate, made by `openssl ocsp`. Its next update is after `days`."""
        serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
        state = "R\t391231000000Z\t250101000000Z" if revoked else "V\t391231000000Z\t"
        index, key, response = folder / "index.txt", folder / "responder.key", folder / f"{certificate.stem}.ocsp"
        index.write_text(f"{state}\t{serial:0{len(f'{serial:x}') + len(f'{serial:x}') % 2}X}\tunknown\t/CN=any\n")
        key.write_bytes(self._key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        signer = ["-index", index, "-CA", self.file, "-rsigner", self.file, "-rkey", key]
        subprocess.run(
            ["openssl", "ocsp", *signer, "-issuer", self.file, "-cert", certificate, "-ndays", str(days),
             "-respout", response],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        return response

    def _sign(
        self, subject: x509.Name, key: Any, extensions: Iterable[tuple[x509.ExtensionType, bool]], lifetime: timedelta
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 40 * DAY)
            .not_valid_after(now + lifetime)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())
