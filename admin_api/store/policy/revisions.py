# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of the policy: revisions, what each changed, and the contents that a rollback needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, union, update

from admin_api.store.filters import page_by
from admin_api.store.tables import PolicyChange, PolicyContent, PolicyFile, PolicyRevision
from admin_api.store.turns import AUDIT, take_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock

MAX_REVISIONS = 1_000  # the oldest are forgotten, with the contents that only they name
STEP = 500  # digests in one statement


class RevisionRepository:
    """Adds and reads revisions. Numbers rise by one."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def add(
        self,
        actor: str,
        action: str,
        changes: Iterable[PolicyChange],
        *,
        reason: str = "",
        rules: int,
        confirm_by: datetime | None = None,
    ) -> PolicyRevision:
        """Append a revision; ``revision`` of each change is set here."""
        last = await self.latest()
        row = PolicyRevision(
            number=1 if last is None else last.number + 1,
            at=self._clock.wall(),
            actor=actor,
            action=action,
            reason=reason,
            rules=rules,
            confirm_by=confirm_by,
            outcome=None,
        )
        self._session.add(row)
        await self._session.flush()
        for change in changes:
            change.revision = row.number
            self._session.add(change)
        await self._session.flush()
        await self._forget_before(row.number - MAX_REVISIONS + 1)
        return row

    async def take_turn(self) -> None:
        """Wait until no other transaction adds a revision. Audit rows have the same turn: most write both."""
        await take_turn(self._session, AUDIT)

    async def latest(self) -> PolicyRevision | None:
        return await self._session.scalar(select(PolicyRevision).order_by(PolicyRevision.number.desc()).limit(1))

    async def get(self, number: int) -> PolicyRevision | None:
        return await self._session.get(PolicyRevision, number)

    async def pending(self) -> PolicyRevision | None:
        """Returns the revision that waits to be confirmed; there is at most one."""
        query = select(PolicyRevision).where(PolicyRevision.confirm_by.is_not(None), PolicyRevision.outcome.is_(None))
        return await self._session.scalar(query.limit(1))

    async def settle(self, number: int, outcome: str) -> None:
        await self._session.execute(
            update(PolicyRevision).where(PolicyRevision.number == number).values(outcome=outcome)
        )

    async def page(
        self,
        *,
        past: int | None,
        limit: int,
        actor: str | None = None,
        action: str | None = None,
        rising: bool = False,
    ) -> Sequence[PolicyRevision]:
        """Returns revisions past the number ``past``, newest first unless ``rising``."""
        query = page_by(select(PolicyRevision), PolicyRevision.number, past=past, limit=limit, rising=rising)
        if actor is not None:
            query = query.where(PolicyRevision.actor == actor)
        if action is not None:
            query = query.where(PolicyRevision.action == action)
        return (await self._session.scalars(query)).all()

    async def changes(self, *, after: int, until: int) -> Sequence[PolicyChange]:
        """Returns the changes of the revisions after ``after`` up to ``until``, oldest first."""
        query = (
            select(PolicyChange)
            .where(PolicyChange.revision > after, PolicyChange.revision <= until)
            .order_by(PolicyChange.revision, PolicyChange.source, PolicyChange.name)
        )
        return (await self._session.scalars(query)).all()

    async def keep_contents(self, rows: Iterable[PolicyContent]) -> None:
        """Keep contents; those that are kept already stay as they are."""
        new = {row.digest: row for row in rows}
        for digests in _in_steps(new):
            kept = select(PolicyContent.digest).where(PolicyContent.digest.in_(digests))
            for digest in await self._session.scalars(kept):
                del new[digest]
        self._session.add_all(new.values())
        await self._session.flush()

    async def contents(self, digests: Iterable[bytes | None]) -> dict[bytes, PolicyContent]:
        """Returns the contents that are kept, by digest."""
        found: dict[bytes, PolicyContent] = {}
        for some in _in_steps(dict.fromkeys(digest for digest in digests if digest is not None)):
            rows = await self._session.scalars(select(PolicyContent).where(PolicyContent.digest.in_(some)))
            found |= {row.digest: row for row in rows}
        return found

    async def files(self) -> dict[str, PolicyFile]:
        """Returns the rule files in force, and those that are held out of force, by name."""
        return {row.name: row for row in await self._session.scalars(select(PolicyFile))}

    async def replace_files(self, rows: Iterable[PolicyFile]) -> None:
        await self._session.execute(delete(PolicyFile))
        self._session.add_all(rows)
        await self._session.flush()

    async def _forget_before(self, number: int) -> None:
        """Forget older revisions, and contents that no row names any more."""
        old = await self._session.scalar(select(PolicyRevision.number).where(PolicyRevision.number < number).limit(1))
        if old is None:
            return
        await self._session.execute(delete(PolicyChange).where(PolicyChange.revision < number))
        await self._session.execute(delete(PolicyRevision).where(PolicyRevision.number < number))
        named = union(
            select(PolicyFile.digest).where(PolicyFile.digest.is_not(None)),
            select(PolicyChange.before).where(PolicyChange.before.is_not(None)),
            select(PolicyChange.after).where(PolicyChange.after.is_not(None)),
        )
        await self._session.execute(delete(PolicyContent).where(PolicyContent.digest.not_in(named)))


def _in_steps(digests: Iterable[bytes]) -> Iterator[list[bytes]]:
    wanted = list(digests)
    yield from (wanted[start : start + STEP] for start in range(0, len(wanted), STEP))
