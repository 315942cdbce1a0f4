# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks made over the API: enforced by the engine at once, written for the next start, removed after their end.

The engine stops matching a block exactly at its end, in monotonic time from when it was made. The expiry task removes
expired rows. After a jump of the wall clock it rewrites the ends in the store, so that a restart restores what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from admin_api.enforcement.blocks.changes import BlockChanges
from admin_api.enforcement.blocks.table import BlockEntry, BlockTable
from admin_api.enforcement.blocks.writer import AuditNote, BlockRows, BlockWriter
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import parse_network
from admin_api.log_events import ApiEvent
from admin_api.store.columns import new_id
from sentry_engine import BLOCK_ID_PREFIX, MAX_BLOCKS, Prefixes, make_block
from sentry_engine.deadlines import Deadlines
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from admin_api.clock import Clock
    from admin_api.store import Store
    from sentry_engine import Engine, PrefixRule
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import Network

LONGEST_SLEEP = 5.0  # seconds: the longest wait between two looks at the clocks
CLOCK_JUMP = 1.0  # seconds: a larger change of the wall clock against the monotonic one is a jump
SAME_END = 2.0  # seconds by which the end of one block may differ between nodes
RETRY = 5.0  # seconds until a failed clean-up is retried

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockChange:
    """The outcome of ``add_block``. Without ``changed`` the existing block stays as it was."""

    block: BlockEntry
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Followed:
    """What ``follow`` and ``compare`` have changed. ``left_out``: the table is full."""

    added: int = 0
    removed: int = 0
    left_out: int = 0


NewBlock = tuple["Network", str, "datetime | None"]  # network, reason, end


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcome of ``add_many``. ``last_id``: of the last block that waits to be stored."""

    created: int
    changed: int
    last_id: str | None


class BlockList:
    """Changes require ``lock``, which serialises all changes of the engine; the expiry task takes it itself.

    No change waits for the store: ``settle`` does.
    """

    def __init__(
        self, engine: Engine, store: Store, events: EventSink, clock: Clock, lock: asyncio.Lock, rows: BlockRows
    ) -> None:
        self._engine = engine
        self._store = store
        self._events = events
        self._clock = clock
        self._lock = lock
        self._table = BlockTable()
        self.changes = BlockChanges(int(clock.wall().timestamp() * 1000))
        self._rows = rows
        self._writer = BlockWriter(store, events, rows)
        self._deadlines = Deadlines()
        self._clock_offset = clock.offset()  # that the ends in the store were computed with
        self._changed = asyncio.Event()
        self._expiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Enforce every stored block, and start the tasks."""
        async with self._store.read() as unit:
            async for entries in self._rows.read(unit):
                self._engine.block_many(map(as_prefix_rule, entries))
                for entry in entries:
                    self._table.put(entry)
                    self._deadlines.set_deadline(entry.id, self._deadline(entry))
        self._writer.start()
        self._expiring = asyncio.create_task(self._run_expiry(), name="expiry of blocks")

    async def stop(self) -> None:
        self.changes.close()
        if self._expiring is not None:
            self._expiring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiring
            self._expiring = None
            async with self._lock:
                self.follow_clock()
            await self._writer.stop()

    # -- what is in force

    def __len__(self) -> int:
        return len(self._table)

    @property
    def unstored(self) -> int:
        """How many blocks differ from their rows in the store."""
        return self._writer.waiting

    def is_stored(self, block_id: str) -> bool:
        """False while the state of the block, or its removal, waits for the store."""
        return self._writer.is_stored(block_id)

    async def settle(self, block_id: str, wait: float | None = None) -> bool:
        """Wait for the store, by default not long. Returns ``is_stored``. Does not require the lock."""
        return await self._writer.settle(block_id, wait)

    def get(self, block_id: str) -> BlockEntry | None:
        entry = self._table.get(block_id)
        return entry if entry is not None and self._is_live(entry) else None

    def of_network(self, cidr: str) -> BlockEntry | None:
        """Returns the block in force of exactly this network."""
        entry = self._table.of_network(cidr)
        return entry if entry is not None and self._is_live(entry) else None

    def of_networks(self, cidrs: Iterable[str]) -> list[BlockEntry]:
        """Returns the blocks in force of exactly these networks, oldest first."""
        found = [entry for cidr in cidrs if (entry := self._table.of_network(cidr)) and self._is_live(entry)]
        return sorted(found, key=lambda entry: entry.id)

    def page(self, *, after: str | None, limit: int, falling: bool = False) -> list[BlockEntry]:
        """Returns blocks in force, oldest first or ``falling``, that follow the id ``after`` in this order."""
        entries = self._table.before(after) if falling else self._table.following(after)
        return [*islice(filter(self._is_live, entries), limit)]

    # -- changes

    def add_block(self, network: Network, reason: str, expires_at: datetime | None, by: str) -> BlockChange:
        """Put a block in force, or extend the existing one. Raises ``ApiError`` if a table is full."""
        self.follow_clock()
        self._remove_expired()
        now = self._clock.wall()
        before = self._table.of_network(str(network))
        if before is not None and not outlasts(expires_at, before.expires_at):
            return BlockChange(before, created=False, changed=False)
        self._writer.refuse_when_full()
        if before is None:
            if len(self._table) >= MAX_BLOCKS:
                detail = f"There are {MAX_BLOCKS} blocks; remove some, or use a feed"
                raise ApiError(ProblemKind.TABLE_FULL, detail)
            entry = BlockEntry(new_id(), str(network), reason, by, now, expires_at)
        else:
            entry = replace(before, reason=reason, expires_at=expires_at)
        self._put([entry])
        until = expires_at.isoformat() if expires_at else None
        action = "block_added" if before is None else "block_prolonged"
        facts = {"id": entry.id, "reason": reason, "expires_at": until}
        self._writer.put(entry, AuditNote(by, action, entry.cidr, now, facts))
        return BlockChange(entry, created=before is None, changed=True)

    def add_many(self, blocks: Iterable[NewBlock], by: str) -> BatchOutcome:
        """Put many blocks in force, or extend the existing ones, without audit rows. Raises ``ApiError``.

        Either all of them are in force, or none.
        """
        self.follow_clock()
        self._remove_expired()
        now, put, created = self._clock.wall(), dict[str, BlockEntry](), 0
        for network, reason, expires_at in blocks:
            cidr = str(network)
            before = put.get(cidr) or self._table.of_network(cidr)
            if before is None:
                created += 1
                put[cidr] = BlockEntry(new_id(), cidr, reason, by, now, expires_at)
            elif outlasts(expires_at, before.expires_at):
                put[cidr] = replace(before, reason=reason, expires_at=expires_at)
        if len(self._table) + created > MAX_BLOCKS:
            raise ApiError(ProblemKind.TABLE_FULL, f"There would be more than {MAX_BLOCKS} blocks; use a feed")
        entries = [*put.values()]
        self._put(entries)
        for entry in entries:
            self._writer.put(entry)
        return BatchOutcome(created, len(entries) - created, entries[-1].id if entries else None)

    def _put(self, entries: Sequence[BlockEntry]) -> None:
        self._engine.block_many([as_prefix_rule(entry) for entry in entries])
        for entry in entries:
            self._table.put(entry)
            self._deadlines.set_deadline(entry.id, self._deadline(entry))
            self.changes.note(entry)
        self._changed.set()

    def remove_block(self, id_or_cidr: str, by: str) -> BlockEntry | None:
        """Remove the block with this id, or of exactly this network. Returns ``None`` if there is none."""
        entry = self._table.get(id_or_cidr)
        if entry is None:
            with contextlib.suppress(ValueError):
                entry = self._table.of_network(str(parse_network(id_or_cidr)))
        if entry is None:
            return None
        self._rows.refuse_removal()
        self._writer.refuse_when_full()
        self._withdraw(entry)
        note = AuditNote(by, "block_removed", entry.cidr, self._clock.wall(), {"id": entry.id})
        self._writer.remove(entry, note)
        return entry

    # -- blocks of other nodes: in the store already

    def follow(self, entries: Sequence[BlockEntry], gone: Iterable[str] = ()) -> Followed:
        """Put ``entries`` in force, each instead of another block of its network; withdraw the blocks ``gone``.

        A block of which a change of this node waits for the store stays as it is: that change will be the later one.
        """
        waiting = self._writer.networks()
        removed = 0
        for block_id in gone:
            if (entry := self._table.get(block_id)) is not None and entry.cidr not in waiting:
                self._withdraw(entry)
                removed += 1
        new: list[BlockEntry] = []
        for entry in entries:
            before = self._table.of_network(entry.cidr)
            if entry.cidr in waiting or (before is not None and _is_same(before, entry)):
                continue
            if before is not None and before.id != entry.id:
                self._withdraw(before)
                before = None
            new.append(entry)
        free = MAX_BLOCKS - len(self._table)
        fitting = [entry for entry in new if self._table.get(entry.id) is not None]
        missing = [entry for entry in new if self._table.get(entry.id) is None]
        fitting += missing[:free]
        self._put(fitting)
        return Followed(len(fitting), removed, max(len(missing) - free, 0))

    def compare(self, stored: Sequence[BlockEntry], *, restored: bool) -> Followed:
        """Take over what the store has. What it lacks is withdrawn; after ``restored`` it is written again instead."""
        known = {entry.id for entry in stored}
        networks = {entry.cidr for entry in stored}
        missing = [entry for entry in self._table if entry.id not in known]
        if not restored:
            return self.follow(stored, [entry.id for entry in missing])
        for entry in missing:
            if entry.cidr not in networks and self._is_live(entry):
                self._writer.put(entry)
        longer = [entry for entry in stored if not self._keeps_longer(entry)]
        return self.follow(longer)

    def _keeps_longer(self, stored: BlockEntry) -> bool:
        """Have a block that ends later here than in the store written again."""
        entry = self._table.of_network(stored.cidr)
        if entry is None or _is_same(entry, stored) or not outlasts(entry.expires_at, stored.expires_at):
            return False
        self._writer.put(entry)
        return True

    def follow_clock(self) -> None:
        """Move the ends in wall time if the wall clock has jumped. The monotonic deadlines stay."""
        offset = self._clock.offset()
        jump = offset - self._clock_offset
        if abs(jump) <= CLOCK_JUMP:
            return
        ends = {name: self._clock.moment(deadline) for name, deadline in self._deadlines.items()}
        for block_id, end in ends.items():
            if (entry := self._table.get(block_id)) is not None:
                moved = replace(entry, expires_at=end)
                self._table.put(moved)
                if self._rows.follow_clock:
                    self._writer.put(moved)
        self._clock_offset = offset
        logger.warning("the wall clock jumped by %+.0f seconds; %d ends of blocks follow it", jump, len(ends))

    def _remove_expired(self) -> None:
        for block_id in self._deadlines.due_names(self._clock.monotonic()):
            entry = self._table.get(block_id)
            if entry is not None:
                self._withdraw(entry)
                self._writer.remove(entry)
                self._events.emit(ApiEvent.BLOCK_EXPIRED, id=block_id)

    def _withdraw(self, entry: BlockEntry) -> None:
        self._engine.unblock(block_rule_id(entry.id))
        self._table.remove(entry.id)
        self.changes.note(entry, gone=True)
        self._deadlines.set_deadline(entry.id, None)

    def _deadline(self, block: BlockEntry) -> float | None:
        return None if block.expires_at is None else self._clock.deadline(block.expires_at)

    def _is_live(self, entry: BlockEntry) -> bool:
        deadline = self._deadlines.get(entry.id)
        return deadline is None or deadline > self._clock.monotonic()

    async def _run_expiry(self) -> None:
        while True:
            self._changed.clear()
            soonest = self._deadlines.next_deadline()
            sleep = LONGEST_SLEEP if soonest is None else min(max(soonest - self._clock.monotonic(), 0), LONGEST_SLEEP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sleep):
                    await self._changed.wait()
            try:
                async with self._lock:
                    self.follow_clock()
                    self._remove_expired()
            except Exception:
                logger.exception("expired blocks could not be removed")
                await asyncio.sleep(RETRY)


def _is_same(one: BlockEntry, other: BlockEntry) -> bool:
    """True if both mean the same. Their ends may differ a little: each clock counted for itself."""
    if (one.id, one.reason) != (other.id, other.reason):
        return False
    if one.expires_at is None or other.expires_at is None:
        return one.expires_at is other.expires_at
    return abs((one.expires_at - other.expires_at).total_seconds()) < SAME_END


def block_rule_id(block_id: str) -> str:
    """Returns the rule id that verdicts name for a block."""
    return f"{BLOCK_ID_PREFIX}{block_id}"


def as_prefix_rule(block: BlockEntry) -> PrefixRule:
    """Returns the engine rule that enforces a block."""
    ends = None if block.expires_at is None else block.expires_at.timestamp()
    return make_block(block_rule_id(block.id), Prefixes.of(block.cidr), block.reason, ends)


def outlasts(new: datetime | None, old: datetime | None) -> bool:
    """True if the end ``new`` is later than ``old``; ``None`` (no end) is the latest."""
    return old is not None and (new is None or new > old)
