# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports many blocks in batches. Each batch is in force and stored before the next one is read.

Between batches other requests run, so an import of a million blocks holds up none of them. Memory is bounded by the
batch.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import field
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

from admin_api.enforcement.policy.safeguards import MAX_CUT, WIDEST, add_tunnel_sources
from admin_api.http.problems import ApiError, unavailable
from admin_api.log_events import ApiEvent
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admin_api.clock import Clock
    from admin_api.enforcement.blocks.enforced import BlockList, NewBlock
    from admin_api.enforcement.policy.state import PolicyState
    from vpn_frontend.settings import Address, Network

BATCH = 256  # blocks that are stored together
SLICE = 32  # of them put in force together: a millisecond of the event loop
STORE_PATIENCE = 60.0  # seconds that a batch waits for the store, which may be slow for minutes on a busy disk
REASSESS_EVERY = 32  # batches between two checks of the live sessions
MAX_ERRORS = 100  # told in an answer


BlockLine = tuple[int, "Network", str, "float | None"]  # number, network, reason, ttl


@dataclass(slots=True)
class ImportReport:
    """What an import has done so far."""

    created: int = 0
    changed: int = 0  # blocks that were there, and got a later end
    unchanged: int = 0
    refused: int = 0
    sessions_cut: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)  # the first refused lines

    def refuse(self, line: int, detail: str) -> None:
        self.refused += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append((line, detail))


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """``own``: addresses of the caller, which are blocked only with ``force``."""

    by: str
    dry_run: bool = False
    force: bool = False
    own: Sequence[Address] = ()


class BlockImport:
    """One import. Give it the lines with ``add_batch``, at most ``BATCH`` at a time, then call ``finish``."""

    def __init__(
        self,
        state: PolicyState,
        blocks: BlockList,
        refuse_exempt: Callable[[Network], None],
        clock: Clock,
        options: ImportOptions,
    ) -> None:
        self._state = state
        self._blocks = blocks
        self._refuse_exempt = refuse_exempt
        self._clock = clock
        self._options = options
        self._batches = 0
        self._would_cut: set[str] = set()
        views = state.sessions.list()
        self._own = _covering(add_tunnel_sources(options.own, views))
        self._sessions: dict[str, set[str]] = {}  # ids of live sessions, by the networks that cover them
        for view in views:
            for cidr in _covering([view.address]):
                self._sessions.setdefault(cidr, set()).add(view.id)
        self.report = ImportReport()

    async def add_batch(self, lines: Sequence[BlockLine]) -> None:
        """Raises ``ApiError`` (503) if the database cannot be written."""
        accepted = [line for line in lines if self._accepts(line[0], line[1])]
        if self._options.dry_run:
            self._preview([str(line[1]) for line in accepted])
            return
        last_id = None
        for start in range(0, len(accepted), SLICE):
            last_id = await self._put(accepted[start : start + SLICE]) or last_id
        self._batches += 1
        if self._batches % REASSESS_EVERY == 0:
            self.report.sessions_cut += await self._state.reassess()
            keep_out_of_collections()
        if last_id is not None and not await self._blocks.settle(last_id, STORE_PATIENCE):
            raise unavailable("The database cannot be written; the blocks so far are in force")

    async def _put(self, lines: Sequence[BlockLine]) -> str | None:
        """Put blocks in force. Returns the id of the last one that waits to be stored. Others run afterwards."""
        now = self._clock.wall()
        new: list[NewBlock] = [
            (network, reason, None if ttl is None else now + timedelta(seconds=ttl))
            for _, network, reason, ttl in lines
        ]
        async with self._state.engine_lock:
            outcome = self._blocks.add_many(new, self._options.by)
        self.report.created += outcome.created
        self.report.changed += outcome.changed
        self.report.unchanged += len(new) - outcome.created - outcome.changed
        await asyncio.sleep(0)
        return outcome.last_id

    async def finish(self, *, ended_early: bool = False) -> ImportReport:
        """Disconnect what the blocks refuse, and note the import in the audit.

        ``ended_early``: it was cancelled or failed. The blocks so far stay in force, and the audit says so.
        """
        report = self.report
        if self._options.dry_run:
            report.sessions_cut = len(self._would_cut)
            return report
        report.sessions_cut += await self._state.reassess()
        facts = {"created": report.created, "changed": report.changed, "refused": report.refused}
        async with self._state.store.write() as unit:
            told = {**facts, "ended_early": True} if ended_early else facts
            await unit.audit.add(self._options.by, "blocks_imported", "", **told)
        self._state.events.emit(
            ApiEvent.BLOCKS_IMPORTED, by=self._options.by, sessions_cut=report.sessions_cut, **facts
        )
        return report

    def _accepts(self, line: int, network: Network) -> bool:
        try:
            self._refuse_exempt(network)
        except ApiError as error:
            self.report.refuse(line, error.detail)
            return False
        text = str(network)
        if self._options.force:
            return True
        if text in self._own:
            self.report.refuse(line, f"{text} covers your own address; use force to block it anyway")
        elif network.prefixlen < WIDEST[network.version]:
            self.report.refuse(line, f"{text} is wider than a /{WIDEST[network.version]}; use force to block it anyway")
        elif len(self._would_cut | self._sessions.get(text, set())) > MAX_CUT:
            self.report.refuse(line, f"{text} would be the one that disconnects more than {MAX_CUT} sessions")
        else:
            self._would_cut |= self._sessions.get(text, set())
            return True
        return False

    def _preview(self, cidrs: Sequence[str]) -> None:
        known = sum(self._blocks.of_network(cidr) is not None for cidr in cidrs)
        self.report.created += len(cidrs) - known
        self.report.unchanged += known
        for cidr in cidrs:
            self._would_cut |= self._sessions.get(cidr, set())


def keep_out_of_collections() -> None:
    """Exclude the objects that live now from full garbage collections, which would scan all blocks again and again.

    A scan of a million blocks stops the event loop for a second. Reference counts still free a block that is removed.
    """
    gc.collect(1)
    gc.freeze()


def _covering(addresses: Sequence[Address]) -> set[str]:
    """Returns every network that covers one of the addresses, as canonical text."""
    return {
        str(ip_network(address).supernet(new_prefix=length))
        for address in addresses
        for length in range(address.max_prefixlen + 1)
    }
