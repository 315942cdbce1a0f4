# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates by which nodes know each other: an authority of the fleet's own, derived from the fleet's secret.

So nothing is to be handed out or renewed: who has the secret has a certificate, and another secret ends all of them. No
clock matters, because a node whose clock is wrong has to be reached too: certificates are valid at any time.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from admin_api.connections.certificate_pipes import load_from_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

INFO = b"ocsentry fleet peer authority"
KEY_SIZE = 32  # bytes of an Ed25519 key
SUFFIX = ".node.ocsentry.internal"  # behind a node's name, so that a name like 10.0.0.1 is none of an address
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ocsentry fleet")])


class PeerIdentity:
    """This node's certificate, made now, and what it takes to check the others'."""

    def __init__(self, secret: bytes, name: str) -> None:
        authority = Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), KEY_SIZE, None, INFO).derive(secret))
        key = Ed25519PrivateKey.generate()
        self._trusted = _authority_certificate(authority).public_bytes(Encoding.PEM).decode()
        self._chain = _node_certificate(authority, key, name).public_bytes(Encoding.PEM)
        self._key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def server_context(self) -> ssl.SSLContext:
        """Takes no client without a certificate of the fleet."""
        context = self._fill(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # each connection shows its certificate
        return context

    def client_context(self) -> ssl.SSLContext:
        """For connections whose server name is ``server_name``: only that node's certificate is accepted."""
        context = self._fill(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.hostname_checks_common_name = False
        return context

    def _fill(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self._trusted)
        load_from_memory(context, self._chain, self._key)
        return context


def server_name(node: str) -> str:
    """As which a node shows itself."""
    return node + SUFFIX


def node_of(certificate: Mapping[str, Any] | None) -> str:
    """The name of the node in what ``ssl`` says of a verified certificate; empty: it has none."""
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
    return names[0].removesuffix(SUFFIX) if len(names) == 1 and names[0].endswith(SUFFIX) else ""


def _authority_certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    """Another one on each node, of the same name and key: that is what a chain is checked by."""
    made = _certificate(AUTHORITY, key.public_key(), key)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return made.add_extension(_usage(signs_certificates=True), critical=True).sign(key, None)


def _node_certificate(authority: Ed25519PrivateKey, key: Ed25519PrivateKey, name: str) -> x509.Certificate:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = _certificate(x509.Name([]), key.public_key(), authority)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name(name))]), critical=True)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(_usage(signs_certificates=False), critical=True)
    return made.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(authority, None)


def _certificate(subject: x509.Name, key: Any, issuer: Ed25519PrivateKey) -> x509.CertificateBuilder:  # noqa: ANN401
    made = x509.CertificateBuilder(AUTHORITY, subject, key, x509.random_serial_number(), *ALWAYS)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return made.add_extension(identifier, critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
