# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of one native core by id. C numbers them (``native/state/blocklist.h``)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from sentry_engine.cores.interface import BlockedNetwork
from sentry_engine.cores.native.columns import nanoseconds
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import Array, CorePointer


class BlockNumbers:
    """Not thread-safe: the core's lock is held, except to read ``names``."""

    def __init__(self, core: CorePointer) -> None:
        self._core = core
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []  # by number; a removed block's name stays until its number is used again

    def put(self, blocks: Sequence[BlockedNetwork]) -> None:
        latest = {block.rule_id: block for block in blocks}
        networks = b"".join(block.network for block in latest.values())
        lengths = bytes(block.length for block in latest.values())
        if len(networks) != 16 * len(latest):
            raise ValueError("a network is 16 bytes")
        ends = array("Q", (nanoseconds(block.expires_at) for block in latest.values()))
        numbers = self._reserve(len(latest))
        for rule_id, number in zip(latest, numbers, strict=True):  # before an answer can refer to the number
            if number >= len(self.names):
                self.names.extend([""] * (number + 1 - len(self.names)))
            self.names[number] = rule_id
        lib.se_core_put_blocks(
            self._core, _in_c(numbers), networks, lengths, ffi.from_buffer("uint64_t[]", ends), len(latest)
        )
        self._free([self._numbers[rule_id] for rule_id in latest if rule_id in self._numbers])
        self._numbers.update(zip(latest, numbers, strict=True))

    def remove(self, rule_ids: Iterable[str]) -> None:
        known = (self._numbers.pop(rule_id, None) for rule_id in rule_ids)
        self._free([number for number in known if number is not None])

    def find(self, address: bytes, now: float) -> str | None:
        number = lib.se_core_find_block(self._core, address, nanoseconds(now))
        return self.names[number] if number < len(self.names) else None

    def _reserve(self, count: int) -> array[int]:
        numbers = array("I", bytes(4 * count))
        reserved = lib.se_core_reserve_blocks(self._core, _in_c(numbers), count)
        if reserved < count:
            self._free(numbers[:reserved])
            raise ValueError(f"there is room for {reserved} of {count} blocks")
        return numbers

    def _free(self, numbers: Sequence[int]) -> None:
        gone = array("I", numbers)
        lib.se_core_remove_blocks(self._core, _in_c(gone), len(gone))


def _in_c(numbers: array[int]) -> Array[int]:
    return ffi.from_buffer("uint32_t[]", numbers)
