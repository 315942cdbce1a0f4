# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups made over the API. Names are compared as they are written: memberships name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from admin_api.session_settings.overrides import read_group_settings
from admin_api.store.tables import Group, Membership

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from admin_api.store.change_log import ChangeLog
    from vpn_frontend.settings import Overrides


class GroupRepository:
    """Adds, reads and removes groups."""

    def __init__(self, session: AsyncSession, clock: Clock, changes: ChangeLog) -> None:
        self._session = session
        self._clock = clock
        self._changes = changes

    def make(self, name: str, *, label: str, note: str, settings: Mapping[str, Any]) -> Group:
        """Returns a new group that is not stored yet."""
        now = self._clock.wall()
        return Group(
            name=name, label=label, note=note, settings=dict(settings), created_at=now, updated_at=now, version=1
        )

    async def add(self, group: Group) -> None:
        self._session.add(group)
        self._changes.note("group", group.name)
        await self._session.flush()

    def replace(self, group: Group, *, label: str, note: str, settings: Mapping[str, Any]) -> None:
        """Change the row; it is written when the unit of work ends."""
        group.label, group.note, group.settings = label, note, dict(settings)
        group.updated_at = self._clock.wall()
        group.version += 1
        self._changes.note("group", group.name)

    async def get(self, name: str) -> Group | None:
        return await self._session.get(Group, name)

    async def read_all(self) -> Sequence[Group]:
        return (await self._session.scalars(select(Group).order_by(Group.name))).all()

    async def overrides(self) -> dict[str, Overrides]:
        """Returns what every group sets, by name."""
        return {group.name: read_group_settings(group.settings, group.label) for group in await self.read_all()}

    async def count_members(self) -> dict[str, int]:
        """Returns how many users have each group, by its name."""
        query = select(Membership.group_name, func.count()).group_by(Membership.group_name)
        return {row[0]: row[1] for row in await self._session.execute(query)}

    async def remove(self, group: Group) -> None:
        await self._session.delete(group)
        self._changes.note("group", group.name)
        await self._session.flush()
