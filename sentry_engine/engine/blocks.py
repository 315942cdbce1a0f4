# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks in force: refused networks that are set through the API, and outlive every policy.

Their ends are in the engine's clock, which no jump of the wall clock moves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import field

from sentry_engine.addresses import Address, Network, contains, pack_address, pack_network, split_network
from sentry_engine.cores.interface import BlockedNetwork, Core, Request
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action, Event

MAX_BLOCKS = 1_000_000  # in force at a time
BLOCK_ORIGIN = Origin("api", "")
STALE_ENDS = 1024  # of blocks that were replaced or removed; more, and more than there are blocks, are cleared


@dataclass(slots=True)
class Blocks:
    """The blocks of one engine, by id. Not thread-safe: the engine's lock is held."""

    by_id: dict[str, BlockedNetwork] = field(default_factory=dict)
    _ends: list[tuple[float, str]] = field(default_factory=list)  # a heap; may hold ends that are no longer true

    def check_room(self, blocks: Iterable[BlockedNetwork]) -> None:
        """Raises ``ValueError`` if there would be more than ``MAX_BLOCKS``."""
        new = {block.rule_id for block in blocks if block.rule_id not in self.by_id}
        if len(self.by_id) + len(new) > MAX_BLOCKS:
            raise ValueError(f"at most {MAX_BLOCKS} blocks may be in force: use a feed for longer lists")

    def put(self, blocks: Iterable[BlockedNetwork]) -> None:
        for block in blocks:
            self.by_id[block.rule_id] = block
            if block.expires_at is not None:
                heapq.heappush(self._ends, (block.expires_at, block.rule_id))
        if len(self._ends) > 2 * len(self.by_id) + STALE_ENDS:
            ends = (block.expires_at for block in self.by_id.values())
            self._ends = [(end, name) for end, name in zip(ends, self.by_id, strict=True) if end is not None]
            heapq.heapify(self._ends)

    def remove(self, rule_id: str) -> bool:
        return self.by_id.pop(rule_id, None) is not None

    def take_expired(self, now: float) -> list[str]:
        """Remove the blocks whose end has come. Returns their ids."""
        expired = []
        while self._ends and self._ends[0][0] <= now:
            end, rule_id = heapq.heappop(self._ends)
            block = self.by_id.get(rule_id)
            if block is not None and block.expires_at == end:
                del self.by_id[rule_id]
                expired.append(rule_id)
        return expired


def make_block(rule_id: str, prefixes: Prefixes, text: str, expires_at: float | None) -> PrefixRule:
    """``prefixes`` holds one network. ``expires_at`` is Unix time; ``None``: never."""
    return PrefixRule(rule_id, Action.REJECT, prefixes, BLOCK_ORIGIN, text, expires_at)


def to_blocked_network(rule: PrefixRule, clock_offset: float) -> BlockedNetwork:
    """``clock_offset`` is Unix time minus the engine's clock now. Raises ``ValueError`` unless it is one network."""
    if len(rule.prefixes) != 1:
        raise ValueError(f"block {rule.id}: a block is one network, not {len(rule.prefixes)}")
    ((network, length),) = rule.prefixes
    end = None if rule.expires_at is None else rule.expires_at - clock_offset
    return BlockedNetwork(rule.id, network, length, rule.description, end)


def to_rule(block: BlockedNetwork, clock_offset: float) -> PrefixRule:
    """The block with its end in Unix time, by the wall clock of now."""
    end = None if block.expires_at is None else block.expires_at + clock_offset
    return make_block(block.rule_id, Prefixes(block.network, bytes((block.length,))), block.text, end)


def would_block(core: Core, network: Network, address: Address, now: float) -> bool:
    """True if a block of ``network`` would refuse ``address``. Counts nothing.

    ``never_block`` and more specific accepting rules win over a block.
    """
    blocked, length = pack_network(network)
    packed = pack_address(address)
    if not contains(blocked, length, packed):
        return False
    _, steps = core.trace(Request(packed, Event.CONNECT, now))
    by_tier = {step.tier: step for step in steps}
    if by_tier["never_block"].matched is not None:
        return False
    rule = by_tier["rules"]
    if rule.matched is None or rule.action is Action.REJECT:
        return True
    return split_network(rule.matched)[1] < length
