# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's own way to PostgreSQL, which can be cut as by a network that drops all packets: no connection ends.

A forwarder between two Unix sockets on the caller's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = ".s.PGSQL.5432"
PIECE = 65536  # bytes


class HeldLink:
    """``url`` leads through it. Open until ``close``."""

    def __init__(self, url: str, folder: Path) -> None:
        head, _, server = url.partition("?host=")
        self.url = f"{head}?host={folder}"
        self._from, self._to = folder / SOCKET, f"{server}/{SOCKET}"
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._forward, self._from)

    def cut(self) -> None:
        """What is sent from now on waits for ``heal``."""
        self._open.clear()

    def heal(self) -> None:
        self._open.set()

    async def until_healed(self) -> None:
        await self._open.wait()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_unix_connection(self._to)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        finally:
            with contextlib.suppress(OSError):
                sink.close()
