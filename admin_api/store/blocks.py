# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, or_, select, update

from admin_api.store.columns import new_id
from admin_api.store.tables import Block

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock


class BlockRepository:
    """Adds, reads and removes blocks."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def add(
        self, network: IPv4Network | IPv6Network, *, reason: str, created_by: str, expires_at: datetime | None
    ) -> Block:
        block = Block(
            id=new_id(),
            cidr=str(network),
            reason=reason,
            created_by=created_by,
            created_at=self._clock.wall(),
            expires_at=expires_at,
        )
        self._session.add(block)
        await self._session.flush()
        return block

    async def prolong(self, block: Block, *, reason: str, expires_at: datetime | None) -> None:
        block.reason = reason
        block.expires_at = expires_at
        await self._session.flush()

    async def set_ends(self, ends: Mapping[str, datetime]) -> None:
        """Set the ends of blocks by id. Ids without a block are skipped."""
        if ends:
            connection = await self._session.connection()
            rows = [{"of_block": block_id, "end": end} for block_id, end in ends.items()]
            change = update(Block).where(Block.id == bindparam("of_block")).values(expires_at=bindparam("end"))
            await connection.execute(change, rows)

    async def get(self, block_id: str) -> Block | None:
        return await self._session.get(Block, block_id)

    async def of_network(self, network: IPv4Network | IPv6Network) -> Block | None:
        return await self._session.scalar(select(Block).where(Block.cidr == str(network)))

    async def page(self, *, after: str | None, limit: int) -> Sequence[Block]:
        """Returns blocks in force, oldest first, that follow the id ``after``."""
        query = select(Block).where(_in_force(self._clock.wall())).order_by(Block.id).limit(limit)
        if after is not None:
            query = query.where(Block.id > after)
        return (await self._session.scalars(query)).all()

    async def of_networks(self, cidrs: Sequence[str]) -> Sequence[Block]:
        """Returns the blocks in force of exactly these networks."""
        query = select(Block).where(Block.cidr.in_(cidrs), _in_force(self._clock.wall())).order_by(Block.id)
        return (await self._session.scalars(query)).all()

    async def read_all(self) -> Sequence[Block]:
        return (await self._session.scalars(select(Block).order_by(Block.id))).all()

    async def count(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(Block)) or 0

    async def remove(self, ids: Sequence[str]) -> None:
        await self._session.execute(delete(Block).where(Block.id.in_(ids)))


def _in_force(now: datetime) -> ColumnElement[bool]:
    return or_(Block.expires_at.is_(None), Block.expires_at > now)
