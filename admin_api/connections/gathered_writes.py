# SPDX-License-Identifier: GPL-3.0-or-later
"""A transport whose writes of one turn of the event loop leave together.

An HTTP answer is written as a head and a body. Together they cost one system call, one TCP segment or TLS record, and
one wake-up of the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

MAX_GATHERED = 65_536  # bytes; more are written at once


class GatheredWrites:
    """Wraps a transport. Everything but writing and closing is the transport's own."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ANN401 - of TCP, TLS or Unix
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= MAX_GATHERED:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._gathered.clear()
        self._transport.abort()

    def _flush(self) -> None:
        if self._gathered:
            data = self._gathered[0] if len(self._gathered) == 1 else b"".join(self._gathered)
            self._gathered.clear()
            self._size = 0
            self._transport.write(data)
