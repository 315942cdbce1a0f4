# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of API tokens. It holds the digest of each secret, never the secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from admin_api.store.tables import Token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock


class TokenRepository:
    """Adds, reads and removes tokens."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self.changed = False  # this unit of work has changed a token

    async def add(
        self,
        token_id: str,
        digest: bytes,
        *,
        name: str,
        scopes: Sequence[str],
        created_by: str,
        expires_at: datetime | None = None,
    ) -> Token:
        token = Token(
            id=token_id,
            name=name,
            digest=digest,
            scopes=list(scopes),
            created_by=created_by,
            created_at=self._clock.wall(),
            expires_at=expires_at,
            last_used_at=None,
        )
        self._session.add(token)
        self.changed = True
        await self._session.flush()
        return token

    async def get(self, token_id: str) -> Token | None:
        return await self._session.get(Token, token_id)

    async def read_all(self) -> Sequence[Token]:
        return (await self._session.scalars(select(Token))).all()

    async def note_uses(self, moments: dict[str, datetime]) -> None:
        """Write the times of last use, by token id; missing tokens are skipped."""
        for token_id, moment in moments.items():
            await self._session.execute(update(Token).where(Token.id == token_id).values(last_used_at=moment))

    async def remove_expired(self, prefix: str) -> None:
        """Remove the tokens whose names begin with ``prefix`` and whose time is over."""
        old = Token.name.startswith(prefix, autoescape=True), Token.expires_at <= self._clock.wall()
        await self._session.execute(delete(Token).where(*old))

    async def remove(self, token_id: str) -> bool:
        self.changed = True
        removed = await self._session.scalar(delete(Token).where(Token.id == token_id).returning(Token.id))
        return removed is not None
