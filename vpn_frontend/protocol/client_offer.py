# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client says in its first request about how it can log in: capabilities, its STRAP keys, the host's name.

Nothing of it is authenticated. STRAP binds a session to a key of the client: ``strap_key`` signs at CONNECT, and
``strap_dh_key`` is what a browser's token is sealed to.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import field
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from vpn_frontend.protocol.config_auth import ClientMessage
    from vpn_frontend.protocol.http_fast_path import HttpRequest

MAX_KEY = 200  # bytes of a key in DER; one on P-256 has 91
NEGOTIATE_FIELD = "authorization"  # as which a method gets the token of a later round
BEARER = "bearer"
NEGOTIATE_HEADER = "x-support-http-auth"  # of clients that can do HTTP Negotiate (openconnect)
STRAP_KEY_HEADER = "x-anyconnect-strap-pubkey"
MAX_HOST = 261  # characters: a DNS name and a port
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """``methods`` are the words of ``<auth-method>``, such as ``single-sign-on-v2``.

    ``host`` is the ``Host`` header; empty: not acceptable. Keys are SPKI in DER, unchecked; empty: none.
    ``certificate_failed``: the client was asked for a certificate and has none that it can use.
    ``negotiate``: it can do HTTP Negotiate. ``negotiate_token``: what it sent of that, empty: nothing.
    ``bearer``: its token; empty: it sent none.
    """

    methods: frozenset[str] = frozenset()
    certificate_failed: bool = False
    host: str = ""
    strap_key: bytes = b""
    strap_dh_key: bytes = b""
    negotiate: bool = False
    negotiate_token: bytes = field(default=b"", repr=False)
    bearer: str = field(default="", repr=False)


NO_OFFER = ClientOffer()


def read_offer(request: HttpRequest, message: ClientMessage) -> ClientOffer:
    """The offer of a request during a login."""
    host = request.header("host")
    return ClientOffer(
        methods=message.auth_methods,
        certificate_failed=message.certificate_failed,
        host=host if len(host) <= MAX_HOST and _HOST.fullmatch(host) else "",
        strap_key=read_base64(request.header(STRAP_KEY_HEADER)),
        strap_dh_key=read_base64(request.header("x-anyconnect-strap-dh-pubkey")),
        negotiate=request.header(NEGOTIATE_HEADER).lower() == "true",
        negotiate_token=decode_token(read_negotiate(request)),
        bearer=_read_bearer(request),
    )


def read_negotiate(request: HttpRequest) -> str:
    """The token of ``Authorization: Negotiate``, in base64. Empty: there is none."""
    scheme, _, token = request.header("authorization").partition(" ")
    return token.strip() if scheme.lower() == "negotiate" else ""


def _read_bearer(request: HttpRequest) -> str:
    """The token of ``Authorization: Bearer`` (RFC 6750, section 2.1). Some clients of ocserv write ``Bearer=``."""
    value = request.header("authorization")
    is_bearer = value[: len(BEARER)].lower() == BEARER and value[len(BEARER) : len(BEARER) + 1] in (" ", "=")
    return value[len(BEARER) + 1 :].strip() if is_bearer else ""


def decode_token(text: str) -> bytes:
    """Empty: there is none. Text that is not base64 is returned as it is: no mechanism accepts it."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


def read_p256_key(der: bytes) -> ec.EllipticCurvePublicKey | None:
    """The public key, if it is one on P-256. ``None``: it is not."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) else None


def read_base64(text: str) -> bytes:
    """A key or a signature of a header, at most ``MAX_KEY`` bytes. Empty: there is none, or it is not acceptable."""
    if not text or len(text) > 2 * MAX_KEY:
        return b""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return key if len(key) <= MAX_KEY else b""
