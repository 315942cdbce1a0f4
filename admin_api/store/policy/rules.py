# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of rules made over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from admin_api.store.tables import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock


class RuleRepository:
    """Adds, reads and removes rules."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self.changed = False  # this unit of work has changed a rule

    async def add(self, rule_id: str, document: dict[str, Any], *, created_by: str) -> Rule:
        now = self._clock.wall()
        rule = Rule(id=rule_id, document=document, version=1, created_by=created_by, created_at=now, updated_at=now)
        self._session.add(rule)
        self.changed = True
        await self._session.flush()
        return rule

    async def replace(self, rule: Rule, document: dict[str, Any]) -> None:
        rule.document = document
        rule.version += 1
        self.changed = True
        rule.updated_at = self._clock.wall()
        await self._session.flush()

    async def get(self, rule_id: str) -> Rule | None:
        return await self._session.get(Rule, rule_id)

    async def read_all(self) -> Sequence[Rule]:
        return (await self._session.scalars(select(Rule).order_by(Rule.id))).all()

    async def remove(self, rule: Rule) -> None:
        self.changed = True
        await self._session.delete(rule)
        await self._session.flush()
