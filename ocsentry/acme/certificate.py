# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's certificate as ACME sees it: which names, when to renew, and how the new one takes its place.

The private key stays, so a renewal replaces one file, and clients that pinned the key go on connecting.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from ocsentry.acme.server import AcmeError
from ocsentry.acme.state import replace_file
from ocsentry.setup.certificates import certificate_facts
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, parse_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocsentry.setup.certificates import CertificateFacts
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate

RENEW_AT = 1 / 3  # of its life is left


def public_names(facts: CertificateFacts) -> list[str]:
    """The names of a certificate that an authority could validate: DNS names with a dot."""
    return [name for name in facts.names if "." in name and not name.replace(".", "").isdecimal() and ":" not in name]


def is_due(facts: CertificateFacts, now: datetime | None = None) -> bool:
    """True once less than a third of the certificate's life is left."""
    left = facts.not_after - (now or datetime.now(UTC))
    return left <= (facts.not_after - facts.not_before) * RENEW_AT


def make_request(key_pem: bytes, names: Sequence[str]) -> bytes:
    """Returns a certificate request (DER) for ``names``, signed by the server's key. Raises ``AcmeError``."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        raise AcmeError("the server's private key cannot be read: it must be PEM without a password") from None
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= 64 else []))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, digest)  # type: ignore[arg-type]  # parse_certificate refuses other kinds of keys
        .public_bytes(serialization.Encoding.DER)
    )


def check_issued(chain: bytes, key_pem: bytes, names: Sequence[str]) -> ServerCertificate:
    """Returns the pair. Raises ``AcmeError`` for a chain that is not what was ordered."""
    try:
        pair = parse_certificate(chain, key_pem, "the certificate from the ACME server", "the server's key")
    except CertificateError as error:
        raise AcmeError(str(error)) from error
    missing = {name.lower() for name in names} - {name.lower() for name in certificate_facts(pair).names}
    if missing:
        raise AcmeError(f"the certificate from the ACME server lacks {', '.join(sorted(missing))}")
    return pair


def check_replaceable(path: Path) -> None:
    """Raises ``AcmeError`` if another program takes care of the file."""
    if path.is_symlink():
        raise AcmeError(f"{path} is a link to {path.readlink()}: another program renews it")


def install(path: Path, chain: bytes) -> None:
    """Replace the certificate's file; owner and mode stay."""
    facts = path.stat()
    replace_file(path, chain, mode=stat.S_IMODE(facts.st_mode), owner=(facts.st_uid, facts.st_gid))
