# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions' journal with group commit.

Logins come in storms, and a commit costs a disk flush. Reports queue up while one transaction is being written, and the
next one takes all that waited; each report returns when its own transaction is on the disk. The order is the queue's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from admin_api.store.unit import Unit
    from vpn_frontend.ports import CloseReason, SessionView

MAX_PENDING = 16_384  # reports; more than a full server says at once, so a longer queue means that the disk is stuck

Report = Callable[["Unit"], Awaitable[None]]


class Writer(Protocol):
    def write(self) -> AbstractAsyncContextManager[Unit]: ...


class JournalFullError(Exception):
    """Reports come faster than the database takes them."""


class Journal:
    def __init__(self, store: Writer) -> None:
        self._store = store
        self._pending: list[tuple[Report, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def opened(self, view: SessionView) -> None:
        await self._submit(lambda unit: unit.sessions.open(view))

    async def closed(self, view: SessionView, reason: CloseReason) -> None:
        await self._submit(lambda unit: unit.sessions.close(view, reason))

    async def checkpoint(self, views: Sequence[SessionView]) -> None:
        async def report(unit: Unit) -> None:
            for view in views:
                await unit.sessions.checkpoint(view)

        await self._submit(report)

    async def close(self) -> None:
        """Wait until everything reported is written."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _submit(self, report: Report) -> None:
        if len(self._pending) >= MAX_PENDING:
            raise JournalFullError(f"{MAX_PENDING} reports of sessions wait for the database")
        written = asyncio.get_running_loop().create_future()
        self._pending.append((report, written))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="session journal")
        await written

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._write(batch)
        finally:
            self._flushing = None

    async def _write(self, batch: list[tuple[Report, asyncio.Future[None]]]) -> None:
        """Write all of ``batch``, or, where that fails, each by itself, so that one bad report harms only its own."""
        error = await self._attempt([report for report, _ in batch])
        if error is None or len(batch) == 1:
            _settle(batch, error)
            return
        for report, written in batch:
            _settle([(report, written)], await self._attempt([report]))

    async def _attempt(self, reports: list[Report]) -> Exception | None:
        try:
            async with self._store.write() as unit:
                for report in reports:
                    await report(unit)
        except Exception as error:  # noqa: BLE001 - handed to whoever reported
            return error
        return None


def _settle(batch: list[tuple[Report, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, written in batch:
        if written.done():  # whoever reported was cancelled meanwhile
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
