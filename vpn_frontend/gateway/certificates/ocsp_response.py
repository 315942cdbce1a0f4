# SPDX-License-Identifier: GPL-3.0-or-later
"""OCSP responses (RFC 6960) of the server's own certificates, which TLS staples to the handshake (RFC 6066 section 8).

A response that clients would refuse is worse than none, so it is checked first: it must be for this certificate, in
date, good, and signed by the issuer or for it. If the chain does not hold the issuer, the signature is not checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RESPONSE = 16_384  # bytes


class ResponseError(Exception):
    """The response is not stapled. The text says why."""


def check_response(response: bytes, chain: Sequence[x509.Certificate], now: datetime | None = None) -> datetime | None:
    """Returns until when the response may be stapled; ``None``: without end. Raises ``ResponseError``."""
    now = now or datetime.now(UTC)
    if len(response) > MAX_RESPONSE:
        raise ResponseError(f"more than {MAX_RESPONSE} bytes")
    try:
        read = ocsp.load_der_ocsp_response(response)
        if read.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ResponseError(f"the responder answered {read.response_status.name.lower()}")
        status, serial = read.certificate_status, read.serial_number
        begins, ends = read.this_update_utc, read.next_update_utc
        algorithm = read.hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ResponseError("no OCSP response of one certificate in DER form") from error
    if serial != chain[0].serial_number or not _is_of_issuer(read.issuer_name_hash, algorithm, chain[0]):
        raise ResponseError("it is for another certificate")
    if status is not ocsp.OCSPCertStatus.GOOD:
        raise ResponseError(f"the certificate is {status.name.lower()}")
    if begins > now:
        raise ResponseError(f"it begins at {begins:%Y-%m-%d %H:%M} UTC")
    if ends is not None and ends <= now:
        raise ResponseError(f"it expired at {ends:%Y-%m-%d %H:%M} UTC")
    _check_signature(read, chain, now)
    return ends


def _is_of_issuer(name_hash: bytes, algorithm: hashes.HashAlgorithm, leaf: x509.Certificate) -> bool:
    digest = hashes.Hash(algorithm)
    digest.update(leaf.issuer.public_bytes())
    return digest.finalize() == name_hash


def _check_signature(read: ocsp.OCSPResponse, chain: Sequence[x509.Certificate], now: datetime) -> None:
    issuer = next((one for one in chain[1:] if one.subject == chain[0].issuer), None)
    if issuer is None:
        return
    for signer in (issuer, *(one for one in read.certificates if _is_delegate(one, issuer, now))):
        if _signed(read, signer):
            return
    raise ResponseError("neither the issuer nor a responder of it has signed it")


def _is_delegate(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    """RFC 6960 section 4.2.2.2: issued by the same authority, for signing responses."""
    try:
        certificate.verify_directly_issued_by(issuer)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    in_date = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
    return in_date and ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _signed(read: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    try:
        algorithm = read.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(read.signature, read.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(read.signature, read.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
