# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed prefixes as columns, and the origin of a rule: the two values that every format and database produces."""

from __future__ import annotations

from collections.abc import Iterator

from sentry_engine.addresses import Network, pack_network
from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule was written: a file, or the name of another source, and a JSON pointer or line in it."""

    file: str
    pointer: str


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Packed prefixes as two parallel columns, as in ``plan.PrefixTable``."""

    networks: bytes  # 16 bytes a row, host bits zero
    lengths: bytes  # one byte a row, 0 to 128; IPv4 lengths plus 96

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        for row, length in enumerate(self.lengths):
            yield self.networks[16 * row : 16 * row + 16], length

    @classmethod
    def of(cls, *texts: Network) -> Prefixes:
        """Pack prefixes. Raises ``AddressError`` for the first malformed one."""
        rows = [pack_network(text) for text in texts]
        return cls(b"".join(packed for packed, _ in rows), bytes(length for _, length in rows))


NOTHING = Prefixes(b"", b"")
