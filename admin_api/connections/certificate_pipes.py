# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives an SSL context a certificate and key that are in memory.

``ssl`` takes files only. The texts are passed through pipes, which need no place on a disk.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def load_from_memory(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Both are PEM. Raises ``OSError`` or ``ValueError``."""
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
