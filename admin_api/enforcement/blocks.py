# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks made over the API: stored for the next start, enforced by the engine, removed after their end.

The engine stops matching a block exactly at its end, in monotonic time from when it was made. The expiry task removes
expired rows. After a jump of the wall clock it rewrites the ends in the store, so that a restart restores what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from admin_api.enforcement.deadlines import Deadlines
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import parse_network
from admin_api.log_events import ApiEvent
from sentry_engine import BLOCK_ID_PREFIX, MAX_BLOCKS, Prefixes, make_block

if TYPE_CHECKING:
    from datetime import datetime

    from admin_api.clock import Clock
    from admin_api.store import Store, UnitOfWork
    from admin_api.store.tables import Block
    from sentry_engine import Engine, PrefixRule
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Network

LONGEST_SLEEP = 5.0  # seconds: the longest wait between two looks at the clocks
CLOCK_JUMP = 1.0  # seconds: a larger change of the wall clock against the monotonic one is a jump
RETRY = 5.0  # seconds until a failed clean-up is retried

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockChange:
    """The outcome of ``add_block``. Without ``changed`` the existing block stays as it was."""

    block: Block
    created: bool
    changed: bool


class BlockList:
    """Requires ``lock``, which serialises all changes (``Enforcement``); the expiry task takes it itself."""

    def __init__(self, engine: Engine, store: Store, events: EventSink, clock: Clock, lock: asyncio.Lock) -> None:
        self._engine = engine
        self._store = store
        self._events = events
        self._clock = clock
        self._lock = lock
        self._deadlines = Deadlines()
        self._clock_offset = clock.offset()  # that the ends in the store were computed with
        self._changed = asyncio.Event()
        self._expiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Enforce every stored block, and start the expiry task."""
        async with self._store.read() as unit:
            blocks = await unit.blocks.read_all()
        self._engine.block_many(map(as_prefix_rule, blocks))
        for block in blocks:
            self._deadlines.set_deadline(block.id, self._deadline(block))
        self._expiring = asyncio.create_task(self._run_expiry(), name="expiry of blocks")

    async def stop(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiring
            self._expiring = None
            async with self._lock:
                await self.follow_clock()

    async def add_block(self, network: Network, reason: str, expires_at: datetime | None, by: str) -> BlockChange:
        """Add a block, or extend the existing one. If anything fails, store and engine keep their earlier state."""
        await self.follow_clock()
        await self._remove_expired()
        put: Block | None = None
        before: datetime | None = None
        try:
            async with self._store.write() as unit:
                block = await unit.blocks.of_network(network)
                created = block is None
                if block is None:
                    await _refuse_when_full(unit)
                    block = await unit.blocks.add(network, reason=reason, created_by=by, expires_at=expires_at)
                elif outlasts(expires_at, block.expires_at):
                    before = block.expires_at
                    await unit.blocks.prolong(block, reason=reason, expires_at=expires_at)
                else:
                    return BlockChange(block, created=False, changed=False)
                until = expires_at.isoformat() if expires_at else None
                action = "block_added" if created else "block_prolonged"
                await unit.audit.add(by, action, block.cidr, id=block.id, reason=reason, expires_at=until)
                self._enforce(block)
                put = block
        except BaseException:
            if put is not None:
                self._withdraw(put.id)
                if before is not None:
                    put.expires_at = before
                    self._enforce(put)
            raise
        return BlockChange(block, created=created, changed=True)

    async def remove_block(self, id_or_cidr: str, by: str) -> Block | None:
        """Remove the block with this id, or of exactly this network. Returns ``None`` if there is none."""
        async with self._store.write() as unit:
            block = await unit.blocks.get(id_or_cidr)
            if block is None:
                with contextlib.suppress(ValueError):
                    block = await unit.blocks.of_network(parse_network(id_or_cidr))
            if block is None:
                return None
            await unit.blocks.remove([block.id])
            await unit.audit.add(by, "block_removed", block.cidr, id=block.id)
        self._withdraw(block.id)
        return block

    def _enforce(self, block: Block) -> None:
        self._engine.block_many([as_prefix_rule(block)])
        self._deadlines.set_deadline(block.id, self._deadline(block))
        self._changed.set()

    def _withdraw(self, block_id: str) -> None:
        self._engine.unblock(block_rule_id(block_id))
        self._deadlines.set_deadline(block_id, None)

    def _deadline(self, block: Block) -> float | None:
        return None if block.expires_at is None else self._clock.deadline(block.expires_at)

    async def _run_expiry(self) -> None:
        while True:
            self._changed.clear()
            soonest = self._deadlines.next_deadline()
            sleep = LONGEST_SLEEP if soonest is None else min(max(soonest - self._clock.monotonic(), 0), LONGEST_SLEEP)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), sleep)
            try:
                async with self._lock:
                    await self.follow_clock()
                    await self._remove_expired()
            except Exception:
                logger.exception("expired blocks could not be removed from the store")
                await asyncio.sleep(RETRY)

    async def follow_clock(self) -> None:
        """Rewrite the ends in the store if the wall clock has jumped. The monotonic deadlines stay."""
        offset = self._clock.offset()
        jump = offset - self._clock_offset
        if abs(jump) <= CLOCK_JUMP:
            return
        ends = {name: self._clock.moment(deadline) for name, deadline in self._deadlines.items()}
        async with self._store.write() as unit:
            await unit.blocks.set_ends(ends)
        self._clock_offset = offset
        logger.warning("the wall clock jumped by %+.0f seconds; %d ends of blocks follow it", jump, len(ends))

    async def _remove_expired(self) -> None:
        due = self._deadlines.due_names(self._clock.monotonic())
        if not due:
            return
        async with self._store.write() as unit:
            await unit.blocks.remove(due)
        for block_id in due:
            self._withdraw(block_id)
            self._events.emit(ApiEvent.BLOCK_EXPIRED, id=block_id)


def block_rule_id(block_id: str) -> str:
    """Returns the rule id that verdicts name for a block."""
    return f"{BLOCK_ID_PREFIX}{block_id}"


def as_prefix_rule(block: Block) -> PrefixRule:
    """Returns the engine rule that enforces a block."""
    ends = None if block.expires_at is None else block.expires_at.timestamp()
    return make_block(block_rule_id(block.id), Prefixes.of(block.cidr), block.reason, ends)


async def _refuse_when_full(unit: UnitOfWork) -> None:
    if await unit.blocks.count() >= MAX_BLOCKS:
        raise ApiError(ProblemKind.TABLE_FULL, f"There are {MAX_BLOCKS} blocks; remove some, or use a feed")


def outlasts(new: datetime | None, old: datetime | None) -> bool:
    """True if the end ``new`` is later than ``old``; ``None`` (no end) is the latest."""
    return old is not None and (new is None or new > old)
