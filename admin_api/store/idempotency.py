# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of stored answers to requests with an Idempotency-Key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete

from admin_api.store.tables import IdempotentAnswer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock

KEEP = timedelta(hours=24)  # how long an answer is stored


class IdempotencyRepository:
    """Stores and finds answers by caller and key."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def get(self, actor: str, key: str) -> IdempotentAnswer | None:
        answer = await self._session.get(IdempotentAnswer, (actor, key))
        return None if answer is None or answer.created_at + KEEP <= self._clock.wall() else answer

    async def add(
        self, actor: str, key: str, *, request_digest: bytes, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        now = self._clock.wall()
        await self._session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at <= now - KEEP))
        self._session.add(
            IdempotentAnswer(
                actor=actor,
                key=key,
                request_digest=request_digest,
                status=status,
                headers=headers,
                body=body,
                created_at=now,
            )
        )
        await self._session.flush()
