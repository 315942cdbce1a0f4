# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities of client certificates, and their revocation lists, as TLS gets them.

wolfSSL refuses every client whose issuer has no list, once there is any, and every client while the list is past its
next update. Both are told here in words, before the first client is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, read_file
from vpn_frontend.gateway.interface import ClientAuthorities, RevocationCheck

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vpn_frontend.gateway.certificates.server_certificate import FileReader

END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True)
class LoadedAuthorities:
    """``warnings`` say which clients will be refused, and why."""

    authorities: ClientAuthorities
    warnings: tuple[str, ...] = ()


def load_authorities(
    ca_file: Path,
    crl_file: Path | None,
    read: FileReader | None = None,
    *,
    strict: bool = True,
    now: datetime | None = None,
) -> LoadedAuthorities:
    """Read and check the authorities and the lists. Raises ``CertificateError``.

    A list of an unknown issuer, or with a wrong signature, is an error. If an authority above another has no list, only
    the clients' own certificates are checked. Not ``strict``: TLS gets no list, and lists are used at any age.
    """
    now = now or datetime.now(UTC)
    pem = read_file(ca_file, read)
    try:
        authorities = x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateError(f"{ca_file}: no certificates in PEM form") from error
    warnings = [*_judge_authorities(ca_file, authorities, now)]
    if crl_file is None:
        return LoadedAuthorities(ClientAuthorities(pem), tuple(warnings))
    lists = _read_lists(crl_file, read_file(crl_file, read))
    for one in lists:
        _verify(crl_file, one, authorities, strict=strict)
    if not strict:
        return LoadedAuthorities(ClientAuthorities(pem, listed=tuple(lists)), tuple(warnings))
    covered = {one.issuer for one in lists}
    bare = [authority for authority in authorities if authority.subject not in covered]
    warnings += [*_judge_lists(crl_file, lists, now)]
    warnings += [f"{crl_file}: no list of {_show(one.subject)}: its clients are refused" for one in bare]
    # wolfSSL loads no list out of date. Without it the clients of its issuer are refused all the same.
    crl = b"".join(one.public_bytes(Encoding.PEM) for one in lists if _is_in_date(one, now))
    revocation = RevocationCheck.LEAF if bare else RevocationCheck.CHAIN
    return LoadedAuthorities(ClientAuthorities(pem, crl, revocation), tuple(warnings))


def _is_in_date(one: x509.CertificateRevocationList, now: datetime) -> bool:
    return one.last_update_utc <= now and (one.next_update_utc is None or now < one.next_update_utc)


def _read_lists(file: Path, content: bytes) -> list[x509.CertificateRevocationList]:
    pieces = [piece + END for piece in content.split(END)[:-1]]
    try:
        lists = [x509.load_pem_x509_crl(piece) for piece in pieces] if pieces else [x509.load_der_x509_crl(content)]
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateError(f"{file}: no revocation list in PEM or DER form") from error
    return lists


def is_listed(certificate: bytes, lists: Iterable[x509.CertificateRevocationList]) -> bool:
    """True if one of the lists revokes this certificate, in DER, or if it cannot be read."""
    try:
        client = x509.load_der_x509_certificate(certificate)
    except (ValueError, x509.InvalidVersion):
        return True
    return any(
        one.issuer == client.issuer and one.get_revoked_certificate_by_serial_number(client.serial_number) is not None
        for one in lists
    )


def _verify(
    file: Path, one: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate], *, strict: bool
) -> None:
    issuers = [authority for authority in authorities if authority.subject == one.issuer]
    if not issuers:
        raise CertificateError(f"{file}: the list of {_show(one.issuer)} is of no authority in auth.certificate.ca")
    if not any(_is_signed_by(one, issuer) for issuer in issuers):
        raise CertificateError(f"{file}: the list of {_show(one.issuer)} has a wrong signature")
    if strict and not any(_may_sign_lists(issuer) for issuer in issuers):
        raise CertificateError(
            f"{file}: the key usage of {_show(one.issuer)} lacks cRLSign: issue its certificate with it again"
        )


def _is_signed_by(one: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return one.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other keys raise
    except (TypeError, ValueError):
        return False


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    """RFC 5280 section 6.3.3 (f): a key usage, if there is one, has cRLSign. wolfSSL takes no other list."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound):
        return True
    return usage.crl_sign


def _judge_authorities(file: Path, authorities: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    for one in authorities:
        if one.not_valid_after_utc <= now:
            yield f"{file}: {_show(one.subject)} expired on {one.not_valid_after_utc:%Y-%m-%d}: its clients are refused"


def _judge_lists(file: Path, lists: Sequence[x509.CertificateRevocationList], now: datetime) -> Iterator[str]:
    for one in lists:
        until = one.next_update_utc
        if until is not None and until <= now:
            yield (
                f"{file}: the list of {_show(one.issuer)} should have been replaced by {until:%Y-%m-%d %H:%M} UTC: its "
                "clients are refused"
            )
        elif one.last_update_utc > now:
            yield f"{file}: the list of {_show(one.issuer)} begins in the future: its clients are refused"


def _show(name: x509.Name) -> str:
    return name.rfc4514_string()[:200] or "an authority without a name"
