# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as the ledger of ``vpn_frontend.accounting``: each call is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from admin_api.store.database import Store
    from vpn_frontend.accounting.ledger import AccountedSession


class StoredLedger:
    """Implements ``AccountingLedger``. From now on ``store`` notes each new session for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.accounting = True

    def watch(self, changed: Callable[[], None]) -> None:
        self._store.accounts_changed = changed

    async def due(self, limit: int) -> Sequence[AccountedSession]:
        async with self._store.read() as unit:
            return await unit.accounting.due(limit)

    async def open_told(self) -> Sequence[AccountedSession]:
        async with self._store.read() as unit:
            return await unit.accounting.open_told()

    async def mark_told(self, *, started: Sequence[str], ended: Sequence[str]) -> None:
        async with self._store.write() as unit:
            await unit.accounting.mark_told(started=started, ended=ended)

    async def drop_older_than(self, oldest: datetime) -> int:
        async with self._store.write() as unit:
            return await unit.accounting.drop_older_than(oldest)
