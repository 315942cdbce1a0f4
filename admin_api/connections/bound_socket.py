# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's TCP socket. Apart from the server, because it is bound before the privileges are given up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.settings import Endpoint


def bind_endpoint(endpoint: Endpoint) -> socket.socket:
    """A socket for ``ApiServer``, bound to ``endpoint``; it listens when the server starts. Raises ``OSError``."""
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    # asyncio sets TCP_NODELAY only on a socket with an explicit protocol; without it an answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"the API cannot listen on {endpoint}: {error.strerror}") from error
    return listener
