# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews the certificate of the API's TLS context, which the helper process reads.

``ssl`` takes files only. The texts are passed through pipes, which need no place on a disk.
"""

from __future__ import annotations

import os
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_FILE = 65_536  # bytes; what a pipe holds


def renew_certificate(
    context: ssl.SSLContext, certificate: Path, private_key: Path, read: Callable[[Path, int], bytes]
) -> None:
    """New handshakes of ``context`` get the certificate on disk.

    Raises ``OSError``, ``ssl.SSLError`` or ``ValueError``; then the earlier one stays.
    """
    chain, key = (_read(path, read) for path in (certificate, private_key))
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), chain, key)  # a pair that does not match would stay loaded
    _load(context, chain, key)


def _read(path: Path, read: Callable[[Path, int], bytes]) -> bytes:
    content = read(path, MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"{path} is larger than {MAX_FILE} bytes")
    return content


def _load(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    with ExitStack() as opened:
        context.load_cert_chain(_pipe(opened, chain), _pipe(opened, key))


def _pipe(opened: ExitStack, content: bytes) -> str:
    """Returns a path from which ``content`` can be read once."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    opened.callback(os.close, reading)
    try:
        if os.write(writing, content) != len(content):
            raise ValueError("the pipe is too small for a certificate")
    finally:
        os.close(writing)
    os.set_blocking(reading, True)
    return f"/proc/self/fd/{reading}"
