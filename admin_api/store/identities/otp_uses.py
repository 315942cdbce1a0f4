# SPDX-License-Identifier: GPL-3.0-or-later
"""The codes of users of a one-time password file that are used up. One statement uses a code, so two logins cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import and_, or_, select

from admin_api.store.tables import OtpUse
from admin_api.store.upsert import upsert

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncSession


class OtpUseRepository:
    """Rows by the name of a user. ``secret`` is a digest: with another secret a user starts again."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def last_step(self, user: str, secret: str) -> int | None:
        """The last step or counter that was used. ``None``: none was."""
        query = select(OtpUse.last_step).where(OtpUse.user == user, OtpUse.secret == secret)
        return await self._session.scalar(query)

    async def use(self, user: str, secret: str, step: int, login: str) -> bool:
        """Use up ``step`` and all before it. False: it was used, by another login than ``login``."""
        table = cast("Table", OtpUse.__table__)
        adding = upsert(table, self._session.get_bind().dialect.name).values(
            user=user, secret=secret, last_step=step, last_login=login
        )
        new = adding.excluded
        fresh = or_(
            table.c.secret != new.secret,
            table.c.last_step < new.last_step,
            and_(table.c.last_step == new.last_step, table.c.last_login == new.last_login),
        )
        changed = {name: new[name] for name in ("secret", "last_step", "last_login")}
        use = adding.on_conflict_do_update(index_elements=[table.c.user], set_=changed, where=fresh)
        return await self._session.scalar(use.returning(table.c.user)) is not None
