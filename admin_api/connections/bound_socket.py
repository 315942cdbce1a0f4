# SPDX-License-Identifier: GPL-3.0-or-later
"""The TCP socket of the API, and of a fleet's peers: bound before the privileges are given up, so apart from both."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.settings import Endpoint


def bind_endpoint(endpoint: Endpoint, who: str = "the API") -> socket.socket:
    """A TCP socket bound to ``endpoint``; it listens when its server starts. Raises ``OSError``, which says ``who``."""
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    # asyncio sets TCP_NODELAY only on a socket with an explicit protocol; without it an answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{who} cannot listen on {endpoint}: {error.strerror}") from error
    return listener
