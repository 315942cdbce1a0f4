# SPDX-License-Identifier: GPL-3.0-or-later
"""Overrides of the configuration's file that were made over the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from admin_api.store.columns import Base

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from admin_api.store.change_log import ChangeLog


class Setting(Base):
    """One override. ``value`` is JSON as the configuration's file would have it."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    changed_by: Mapped[str]
    changed_at: Mapped[datetime]


class SettingRepository:
    """Reads and replaces overrides."""

    def __init__(self, session: AsyncSession, clock: Clock, changes: ChangeLog) -> None:
        self._session = session
        self._clock = clock
        self._changes = changes

    async def read_all(self) -> Sequence[Setting]:
        return (await self._session.scalars(select(Setting).order_by(Setting.key))).all()

    async def change(self, changes: Mapping[str, Any], by: str) -> None:
        """Write overrides by key; ``None`` removes one."""
        now = self._clock.wall()
        self._changes.note("settings", ",".join(changes)[:200])
        await self._session.execute(delete(Setting).where(Setting.key.in_(list(changes))))
        self._session.add_all(
            Setting(key=key, value=value, changed_by=by, changed_at=now)
            for key, value in changes.items()
            if value is not None
        )
        await self._session.flush()
