# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of one-time passwords. A code is used up by one statement, so two logins cannot share one.

Secrets arrive here sealed and backup codes as digests: this module knows no key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select, update

from admin_api.store.identities.users import fold_name
from admin_api.store.tables import BackupCode, Totp, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ScalarSelect
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock


class TotpRepository:
    """Enrolments by user. ``login`` names one login: repeating a use with the same ``login`` succeeds."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def get(self, user: User) -> Totp | None:
        return await self._session.get(Totp, user.id)

    async def begin(self, user: User, sealed_secret: bytes) -> Totp:
        """Add an enrolment that waits for its confirmation. Replaces an earlier one."""
        await self.remove(user)
        row = Totp(
            user_id=user.id,
            sealed_secret=sealed_secret,
            created_at=self._clock.wall(),
            confirmed_at=None,
            last_step=0,
            last_login=None,
        )
        self._session.add(row)
        await self._session.flush()
        return row

    async def confirm(self, row: Totp, step: int, backup_codes: Iterable[bytes]) -> None:
        """Activate an enrolment. The step of the code that confirmed it is used up."""
        row.confirmed_at = self._clock.wall()
        row.last_step = step
        self._session.add_all(BackupCode(user_id=row.user_id, digest=digest) for digest in backup_codes)
        await self._session.flush()

    async def remove(self, user: User) -> bool:
        """Remove enrolment and backup codes. False: there was none."""
        removed = await self._session.scalar(delete(Totp).where(Totp.user_id == user.id).returning(Totp.user_id))
        return removed is not None

    async def count_backup_codes(self, user: User) -> int:
        """Returns how many codes are not used."""
        unused = and_(BackupCode.user_id == user.id, BackupCode.used_by.is_(None))
        return await self._session.scalar(select(func.count()).select_from(BackupCode).where(unused)) or 0

    async def find_active(self, name: str) -> tuple[str, bytes] | None:
        """Returns the key of a user and the sealed secret. ``None``: no enrolment that is confirmed."""
        query = (
            select(User.key, Totp.sealed_secret)
            .join(Totp, Totp.user_id == User.id)
            .where(User.key == fold_name(name), Totp.confirmed_at.is_not(None))
        )
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else (row.key, row.sealed_secret)

    async def use_step(self, name: str, step: int, login: str) -> bool:
        same = and_(Totp.last_step == step, Totp.last_login == login)
        use = (
            update(Totp)
            .where(Totp.user_id == _user_id(name), Totp.confirmed_at.is_not(None), or_(Totp.last_step < step, same))
            .values(last_step=step, last_login=login)
            .returning(Totp.user_id)
            .execution_options(synchronize_session=False)
        )
        return await self._session.scalar(use) is not None

    async def use_backup_code(self, name: str, digest: bytes, login: str) -> bool:
        use = (
            update(BackupCode)
            .where(
                BackupCode.user_id == _user_id(name),
                BackupCode.digest == digest,
                or_(BackupCode.used_by.is_(None), BackupCode.used_by == login),
            )
            .values(used_by=login)
            .returning(BackupCode.user_id)
            .execution_options(synchronize_session=False)
        )
        return await self._session.scalar(use) is not None


def _user_id(name: str) -> ScalarSelect[int]:
    return select(User.id).where(User.key == fold_name(name)).scalar_subquery()
