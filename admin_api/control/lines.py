# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of one-line commands, with deadlines for each line and for reading the answers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from admin_api.http.problems import ProblemKind

if TYPE_CHECKING:
    from admin_api.control.commands import LineCommands

MAX_LINE = 64 * 1024  # bytes; a command has a few hundred
LINE_TIME = 10.0  # seconds from the first byte of a line to its last
IDLE_TIME = 300.0  # seconds between two lines
READ_TIME = 30.0  # seconds that an answer may stay unread
LINGER = 2.0  # seconds that a refused client has to finish sending: closing earlier would discard the answer


logger = logging.getLogger(__name__)


class LineConnection:
    """Serves the lines of one connection as the caller ``by``."""

    def __init__(self, commands: LineCommands, by: str) -> None:
        self._commands = commands
        self._by = by
        self.answering = False

    def protocol(self) -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=MAX_LINE), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve_lines(reader, writer)
        except ConnectionError:
            logger.debug("a client of the control socket disconnected before its answer")
        except TimeoutError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = False
        while not ended:
            async with asyncio.timeout(IDLE_TIME):
                first = await reader.read(1)
            if not first:
                return
            if first.isspace():
                continue
            try:
                async with asyncio.timeout(LINE_TIME):
                    line = first + await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line, ended = first + end.partial, True  # the last line may lack its end
            except asyncio.LimitOverrunError:
                await self._refuse(reader, writer, ProblemKind.TOO_LARGE, "a command is one line of at most 64 KiB")
                return
            except TimeoutError:
                detail = f"a line is complete within {LINE_TIME:.0f} seconds"
                await self._refuse(reader, writer, ProblemKind.REQUEST_TIMEOUT, detail)
                return
            await self._answer(line, writer)

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        self.answering = True
        try:
            writer.write(await self._commands.answer(line, self._by))
        finally:
            self.answering = False
        async with asyncio.timeout(READ_TIME):
            await writer.drain()

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: ProblemKind, detail: str
    ) -> None:
        writer.write(refusal(kind, detail))
        writer.write_eof()
        async with asyncio.timeout(LINGER):
            while await reader.read(MAX_LINE):
                pass


def refusal(kind: ProblemKind, detail: str) -> bytes:
    """Returns the line that refuses a command."""
    return b'{"ok":false,"error":"%s","detail":"%s"}\n' % (kind.code.encode(), detail.encode())
