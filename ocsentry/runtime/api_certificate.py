# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews the certificate of the API's TLS context, which the helper process reads.

``ssl`` takes files only. The texts are passed through pipes, which need no place on a disk.
"""

from __future__ import annotations

import os
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

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
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair.chain, pair.key)  # OpenSSL may refuse what is well-formed
    _load(context, pair.chain, pair.key)


def _load(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    with ExitStack() as opened:
        context.load_cert_chain(_pipe(opened, chain), _pipe(opened, key))


def _pipe(opened: ExitStack, content: bytes) -> str:
    """Returns a path from which ``content`` can be read once."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    opened.callback(os.close, reading)
    try:
        if os.write(writing, content) != len(content):
            raise ValueError(f"{len(content)} bytes do not fit into a pipe")
    finally:
        os.close(writing)
    os.set_blocking(reading, True)
    return f"/proc/self/fd/{reading}"
