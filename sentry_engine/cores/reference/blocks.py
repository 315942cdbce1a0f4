# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of the reference core: by network, probed from the longest prefix length in use to the shortest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sentry_engine.addresses import V4_OFFSET, is_ipv4, mask
from sentry_engine.cores.interface import BlockedNetwork
from sentry_engine.cores.nanoseconds import reached


class BlockIndex:
    """Not thread-safe: the core's lock is held."""

    def __init__(self) -> None:
        self._blocks: dict[str, BlockedNetwork] = {}
        self._by_network: dict[tuple[int, bytes], dict[str, BlockedNetwork]] = {}

    def put(self, blocks: Sequence[BlockedNetwork]) -> None:
        for block in blocks:
            self.remove([block.rule_id])
            self._blocks[block.rule_id] = block
            self._by_network.setdefault((block.length, mask(block.network, block.length)), {})[block.rule_id] = block

    def remove(self, rule_ids: Iterable[str]) -> None:
        for rule_id in rule_ids:
            block = self._blocks.pop(rule_id, None)
            if block is None:
                continue
            place = (block.length, mask(block.network, block.length))
            del self._by_network[place][rule_id]
            if not self._by_network[place]:
                del self._by_network[place]

    def find(self, address: bytes, now: float) -> BlockedNetwork | None:
        """The most specific live block of ``address``, of one network the latest."""
        lengths = {length for length, _ in self._by_network if length >= V4_OFFSET or not is_ipv4(address)}
        for length in sorted(lengths, reverse=True):
            same = self._by_network.get((length, mask(address, length)), {})
            for block in reversed(same.values()):
                if block.expires_at is None or not reached(now, block.expires_at):
                    return block
        return None
