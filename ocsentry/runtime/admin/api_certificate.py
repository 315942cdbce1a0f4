# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews the certificate of the API's TLS context, which the helper process reads."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from admin_api.connections.certificate_pipes import load_from_memory
from vpn_frontend.gateway.certificates.server_certificate import load_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def renew_certificate(
    context: ssl.SSLContext, certificate: Path, private_key: Path, read: Callable[[Path, int], bytes]
) -> None:
    """New handshakes of ``context`` get the certificate on disk.

    Raises ``CertificateError``, ``OSError`` or ``ValueError``; then the earlier one stays.
    """
    pair = load_certificate(certificate, private_key, read)
    load_from_memory(
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair.chain, pair.key
    )  # OpenSSL may refuse what is well-formed
    load_from_memory(context, pair.chain, pair.key)
