# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client says in its first request about how it can log in: capabilities, its STRAP keys, the host's name.

Nothing of it is authenticated. STRAP binds a session to a key of the client: ``strap_key`` signs at CONNECT, and
``strap_dh_key`` is what a browser's token is sealed to.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.protocol.config_auth import ClientMessage
    from vpn_frontend.protocol.http_fast_path import HttpRequest

MAX_KEY = 200  # bytes of a key in DER; one on P-256 has 91
MAX_HOST = 261  # characters: a DNS name and a port
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """``methods`` are the words of ``<auth-method>``, such as ``single-sign-on-v2``.

    ``host`` is the ``Host`` header; empty: not acceptable. Keys are SPKI in DER, unchecked; empty: none.
    ``certificate_failed``: the client was asked for a certificate and has none that it can use.
    """

    methods: frozenset[str] = frozenset()
    certificate_failed: bool = False
    host: str = ""
    strap_key: bytes = b""
    strap_dh_key: bytes = b""


NO_OFFER = ClientOffer()


def read_offer(request: HttpRequest, message: ClientMessage) -> ClientOffer:
    """The offer of a request during a login."""
    host = request.header("host")
    return ClientOffer(
        methods=message.auth_methods,
        certificate_failed=message.certificate_failed,
        host=host if len(host) <= MAX_HOST and _HOST.fullmatch(host) else "",
        strap_key=_read_key(request.header("x-anyconnect-strap-pubkey")),
        strap_dh_key=_read_key(request.header("x-anyconnect-strap-dh-pubkey")),
    )


def _read_key(text: str) -> bytes:
    if not text or len(text) > 2 * MAX_KEY:
        return b""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return key if len(key) <= MAX_KEY else b""
