# SPDX-License-Identifier: GPL-3.0-or-later
"""State of one TLS connection before it becomes a tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    import asyncio

    from vpn_frontend.connections.host import Host
    from vpn_frontend.protocol.connection import Connection
    from vpn_frontend.sessions.session import Peer


@dataclass(slots=True)
class PendingConnection:
    """One TLS connection without a tunnel. Times are monotonic seconds."""

    peer: Peer
    protocol: Connection
    host: Host
    since: float
    heard_at: float
    request_since: float | None = None  # first byte of a request that is not complete yet
    checking: bool = False  # its task checks a login
    task: asyncio.Task[None] | None = None  # at most one: for the question of the protocol that has to wait
