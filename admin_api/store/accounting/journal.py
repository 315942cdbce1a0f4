# SPDX-License-Identifier: GPL-3.0-or-later
"""The session journal: a batch of entries is one transaction, because a commit costs a disk flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from admin_api.store.failures import is_unavailable
from vpn_frontend.ports import Stage
from vpn_frontend.sessions.limits.usage import local_day

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from admin_api.clock import Clock
    from admin_api.store.identities.devices import RecentDevices
    from admin_api.store.unit_of_work import UnitOfWork
    from vpn_frontend.ports import JournalEntry

FailedEntry = tuple["JournalEntry", Exception]


class Writer(Protocol):
    clock: Clock
    accounting: bool  # new sessions are noted for an accounting ledger
    recent_devices: RecentDevices

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]: ...


async def record(store: Writer, entries: Sequence[JournalEntry]) -> list[FailedEntry]:
    """Write ``entries``. Returns those that the database refuses, found by bisection, each with its error.

    Raises the database's error if the database itself fails; then no entry is at fault.
    """
    if not entries:
        return []
    opened = [entry.view for entry in entries if entry.stage is Stage.OPENED]
    try:
        devices = store.recent_devices.choose(opened, store.clock.monotonic())
        async with store.write() as unit:
            await unit.usage.count((entry.view for entry in entries), local_day(store.clock.wall()))
            if store.accounting:
                await unit.accounting.open_accounts([entry.view for entry in entries if entry.stage is not Stage.SEEN])
            await unit.sessions.record(entries)
            await unit.devices.see(devices, store.clock.wall())
    except Exception as error:
        if is_unavailable(error):
            raise
        if len(entries) == 1:
            return [(entries[0], error)]
    else:
        store.recent_devices.note(devices, store.clock.monotonic())
        return []
    middle = len(entries) // 2
    return await record(store, entries[:middle]) + await record(store, entries[middle:])
