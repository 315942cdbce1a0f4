# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that users were seen with.

A client describes its machine without proof, so a device tells two clients of a user apart and admits neither. A
client with an identifier of its own (AnyConnect) stays the same device when it is renamed or updated. Others are known
by platform, host name and family of client.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from sqlalchemy import delete, func, select, true, tuple_

from admin_api.store.identities.users import fold_name
from admin_api.store.json_rows import ROWS, format_time, render_rows, unpack_rows
from admin_api.store.tables import SeenDevice
from admin_api.store.upsert import upsert
from sentry_engine.addresses import show_address
from vpn_frontend.protocol.client_family import client_family

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Executable, Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from vpn_frontend.ports import SessionView

MAX_DEVICES = 64  # of one user; a further one replaces the one that was not seen for longest
MAX_RECENT = 65_536  # devices whose rows are known to be fresh
FRESH = 3600.0  # seconds for which a row is not written again
TABLE = cast("Table", SeenDevice.__table__)
COLUMNS = tuple(column.name for column in TABLE.c)
KEPT = ("user", "id", "name", "first_seen_at")  # of a device that is seen again


def device_id_of(view: SessionView) -> str:
    """Returns the id of the device that a session's client describes: 16 hexadecimal digits."""
    device = view.device
    if device.unique_id:
        return _digest("id", device.unique_id)
    return _digest("host", device.platform, view.hostname, client_family(view.user_agent).value)


class RecentDevices:
    """The devices whose rows were written lately, so that not every login writes one."""

    def __init__(self) -> None:
        self._written: OrderedDict[tuple[str, str], tuple[float, str, str, str]] = OrderedDict()

    def choose(self, views: Iterable[SessionView], now: float) -> list[SessionView]:
        """Returns the sessions whose device has to be written, one for each device. ``now`` is monotonic."""
        chosen: dict[tuple[str, str], SessionView] = {}
        for view in views:
            key = (fold_name(view.user), device_id_of(view))  # that of its row: a statement writes a row once
            written = self._written.get(key)
            if written is None or now - written[0] >= FRESH or written[1:] != _seen(view):
                chosen[key] = view
        return [*chosen.values()]

    def note(self, views: Iterable[SessionView], now: float) -> None:
        """The rows of these devices are written."""
        for view in views:
            key = (fold_name(view.user), device_id_of(view))
            self._written[key] = (now, *_seen(view))
            self._written.move_to_end(key)
        while len(self._written) > MAX_RECENT:
            self._written.popitem(last=False)

    def clear(self) -> None:
        """A row was removed: the next login writes it."""
        self._written.clear()


class DeviceRepository:
    """Writes and reads the rows of devices."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self.forgotten = False  # this unit of work has removed a row

    async def see(self, views: Sequence[SessionView], at: datetime) -> None:
        """Write the devices of ``views``, at most one session of each. A user keeps the latest ``MAX_DEVICES``."""
        if not views:
            return
        now = format_time(at)
        rows = [_row(view, now) for view in views]
        await self._session.execute(_put(self._session.get_bind().dialect.name), {ROWS: render_rows(rows)})
        place = func.row_number().over(
            partition_by=SeenDevice.user, order_by=(SeenDevice.last_seen_at.desc(), SeenDevice.id)
        )
        users = sorted({str(row[0]) for row in rows})
        ranked = select(SeenDevice.user, SeenDevice.id, place.label("place")).where(SeenDevice.user.in_(users))
        ranks = ranked.subquery()
        beyond = select(ranks.c.user, ranks.c.id).where(ranks.c.place > MAX_DEVICES)
        await self._session.execute(delete(TABLE).where(tuple_(TABLE.c.user, TABLE.c.id).in_(beyond)))

    async def list(self, user: str) -> Sequence[SeenDevice]:
        """Returns the devices of a user, the one that was seen last first."""
        query = select(SeenDevice).where(SeenDevice.user == fold_name(user))
        return (await self._session.scalars(query.order_by(SeenDevice.last_seen_at.desc(), SeenDevice.id))).all()

    async def get(self, user: str, device_id: str) -> SeenDevice | None:
        return await self._session.get(SeenDevice, (fold_name(user), device_id))

    async def remove(self, device: SeenDevice) -> None:
        self.forgotten = True
        await self._session.delete(device)

    async def remove_all(self, user: str) -> None:
        self.forgotten = True
        await self._session.execute(delete(SeenDevice).where(SeenDevice.user == fold_name(user)))

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Remove up to ``limit`` devices that were not seen since ``moment``. Returns how many."""
        old = select(SeenDevice.user, SeenDevice.id).where(SeenDevice.last_seen_at < moment).limit(limit)
        gone = delete(TABLE).where(tuple_(TABLE.c.user, TABLE.c.id).in_(old.subquery().select()))
        return len((await self._session.execute(gone.returning(TABLE.c.id))).all())


@lru_cache(4096)
def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _seen(view: SessionView) -> tuple[str, str, str]:
    return show_address(view.address), view.user_agent, view.hostname


def _row(view: SessionView, now: str) -> tuple[str, ...]:
    device = view.device
    described = (device.platform, device.platform_version, device.kind, view.hostname, view.user_agent)
    return (fold_name(view.user), device_id_of(view), "", *described, show_address(view.address), now, now)


@cache
def _put(dialect: str) -> Executable:
    rows = unpack_rows(TABLE, COLUMNS, dialect)
    insert = upsert(TABLE, dialect)
    insert = insert.from_select(list(rows.c.keys()), select(rows).where(true()))
    seen = {name: insert.excluded[name] for name in COLUMNS if name not in KEPT}
    return insert.on_conflict_do_update(index_elements=[TABLE.c.user, TABLE.c.id], set_=seen)
