# SPDX-License-Identifier: GPL-3.0-or-later
"""The challenges of ACME servers that the gateway answers (RFC 8737): certificates that prove control of a name.

A challenge certificate is shown only to a hello whose one application protocol is ``acme-tls/1``; other clients never
see it. At most ``MAX_CHALLENGES`` names have one, each for ``LIFETIME`` seconds.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import TlsHost

if TYPE_CHECKING:
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate
    from vpn_frontend.gateway.interface import Gateway

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier
OCTET_STRING = bytes([0x04, 32])  # DER: tag and length of a SHA-256 digest
MAX_CHALLENGES = 16
LIFETIME = 600.0  # seconds; an ACME server validates within some seconds
CLOCK_SKEW = timedelta(hours=1)


class TooManyChallengesError(Exception):
    """``MAX_CHALLENGES`` names have a challenge already."""


class AcmeChallenges:
    """The present challenges, by name in lower case. Times are those of one monotonic clock."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._present: dict[str, tuple[TlsHost, float]] = {}

    def put(self, name: str, key_authorization: str, now: float) -> None:
        """Answer the challenge of ``name``, in place of an earlier one.

        Raises ``TooManyChallengesError`` or ``GatewayError``, then nothing changes.
        """
        name = name.lower()
        self.expire(now)
        if name not in self._present and len(self._present) >= MAX_CHALLENGES:
            raise TooManyChallengesError(f"{MAX_CHALLENGES} names have a challenge; each ends after {LIFETIME:.0f} s")
        host = TlsHost((make_challenge(name, key_authorization),), name=name)
        self._use({**self._present, name: (host, now + LIFETIME)})

    def remove(self, name: str) -> bool:
        """Returns whether there was one."""
        name = name.lower()
        if name not in self._present:
            return False
        self._use({other: entry for other, entry in self._present.items() if other != name})
        return True

    def expire(self, now: float) -> None:
        left = {name: entry for name, entry in self._present.items() if now < entry[1]}
        if len(left) != len(self._present):
            self._use(left)

    def __len__(self) -> int:
        return len(self._present)

    def _use(self, challenges: dict[str, tuple[TlsHost, float]]) -> None:
        self._gateway.set_acme_challenges(tuple(host for host, _ in challenges.values()))
        self._present = challenges


def make_challenge(name: str, key_authorization: str) -> ServerCertificate:
    """Returns the self-signed certificate that RFC 8737 section 3 asks for, with a key of its own.

    ``name`` is its one alternative name, the digest of ``key_authorization`` its critical acmeIdentifier.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = OCTET_STRING + hashlib.sha256(key_authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CLOCK_SKEW)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return parse_certificate(certificate.public_bytes(pem), secret)
