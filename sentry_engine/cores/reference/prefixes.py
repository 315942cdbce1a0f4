# SPDX-License-Identifier: GPL-3.0-or-later
"""The prefix index of the reference core: one tier of a plan in pytricia, one trie per address family.

pytricia holds one family per trie, as the semantics require: an IPv6 prefix shorter than ``::ffff:0:0/96`` never
matches an IPv4 source. A prefix maps to all of its values in rising order, because the lowest live one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET, AF_INET6

from pytricia import PyTricia

from sentry_engine.addresses import V4_OFFSET, is_ipv4
from sentry_engine.cores.plan import PlanError, PrefixTable


class PrefixIndex:
    """Immutable. Lookups need no lock."""

    def __init__(self, table: PrefixTable, *, values_below: int) -> None:
        if len(table.networks) != 16 * len(table) or len(table.values) != len(table):
            raise PlanError(
                f"a table of {len(table)} rows has {len(table.networks)} bytes and {len(table.values)} values"
            )
        self._v4 = PyTricia(32, AF_INET)
        self._v6 = PyTricia(128, AF_INET6)
        for row, (length, value) in enumerate(zip(table.lengths, table.values, strict=True)):
            packed = table.networks[16 * row : 16 * row + 16]
            if length > 128 or value >= values_below:
                raise PlanError(f"row {row} has length {length} and value {value}: at most 128 and {values_below - 1}")
            trie, key = self._place(packed, length)
            known = trie[key] if trie.has_key(key) else ()
            trie[key] = tuple(sorted((*known, value)))
        self._v4.freeze()
        self._v6.freeze()

    def _place(self, packed: bytes, length: int) -> tuple[PyTricia, tuple[bytes, int]]:
        if length >= V4_OFFSET and is_ipv4(packed):
            return self._v4, (packed[12:], length - V4_OFFSET)
        return self._v6, (packed, length)

    def matches(self, address: bytes) -> Iterator[tuple[int, int]]:
        """(packed prefix length, value) of every row that covers ``address``, in order of precedence."""
        trie, key, offset = (self._v4, address[12:], V4_OFFSET) if is_ipv4(address) else (self._v6, address, 0)
        prefix = trie.get_key(key)
        while prefix is not None:
            length = int(prefix.rpartition("/")[2]) + offset
            for value in trie[prefix]:
                yield length, value
            prefix = trie.parent(prefix)
