# SPDX-License-Identifier: GPL-3.0-or-later
"""The user and the groups that a client's certificate names. Pure.

TLS has verified the certificate before it comes here. A field that is absent, empty, repeated where one value is
meant, longer than ``MAX_NAME_BYTES``, or not printable text names no user: the certificate is refused. So a reader
returns a name or raises, and never an empty name.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from cryptography import x509

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME_BYTES = 64  # of a user or group, in UTF-8
MAX_GROUPS = 64  # of one certificate
SAN_EMAIL = "san:email"
ATTRIBUTES = {
    "CN": x509.NameOID.COMMON_NAME,
    "UID": x509.NameOID.USER_ID,
    "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
    "O": x509.NameOID.ORGANIZATION_NAME,
    "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    "serialNumber": x509.NameOID.SERIAL_NUMBER,
}
# A certificate of a client may have any length; it is judged below, and nothing of it goes to standard error.
warnings.filterwarnings("ignore", "Attribute's length must be")
_MALFORMED = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_DOTTED = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,9})){1,20}", re.ASCII)


class CertificateNameError(Exception):
    """The certificate names no user. ``reason`` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """Where names are: an attribute of the subject by name or OID, or ``san:email``. ``groups`` empty: nowhere."""

    user: str
    groups: str = ""

    def find_problem(self) -> str | None:
        """Why the fields cannot be used, for the operator. ``None``: they can."""
        for key, field in (("user_field", self.user), ("group_field", self.groups)):
            if (field or key == "user_field") and not is_field(field):
                names = ", ".join((*ATTRIBUTES, SAN_EMAIL))
                return f"{key}: {field!r} is not one of {names}, nor an OID such as 0.9.2342.19200300.100.1.1"
        return None


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """What a certificate says of its owner."""

    user: str
    groups: tuple[str, ...]


def is_field(text: str) -> bool:
    """True for a name of ``ATTRIBUTES``, a dotted OID, or ``san:email``."""
    return text in ATTRIBUTES or text == SAN_EMAIL or (_DOTTED.fullmatch(text) is not None and _is_oid(text))


def read_identity(der: bytes, fields: CertificateFields) -> CertificateIdentity:
    """The identity in a certificate. Raises ``CertificateNameError``."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        users = _values(certificate, fields.user)
        groups = _values(certificate, fields.groups) if fields.groups else []
    except _MALFORMED as error:
        raise CertificateNameError("certificate_malformed") from error
    if not users:
        raise CertificateNameError("certificate_without_user")
    if len(users) > 1:
        raise CertificateNameError("certificate_with_many_users")
    if len(groups) > MAX_GROUPS:
        raise CertificateNameError("certificate_with_many_groups")
    return CertificateIdentity(_checked(users[0]), tuple(dict.fromkeys(map(_checked, groups))))


def _values(certificate: x509.Certificate, field: str) -> Sequence[str | bytes]:
    if field == SAN_EMAIL:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return names.get_values_for_type(x509.RFC822Name)
    oid = ATTRIBUTES.get(field) or x509.ObjectIdentifier(field)
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]


def _checked(name: str | bytes) -> str:
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise CertificateNameError("certificate_name_malformed")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise CertificateNameError("certificate_name_too_long")
    return name


def _is_oid(text: str) -> bool:
    try:
        x509.ObjectIdentifier(text)
    except ValueError:
        return False
    return True
