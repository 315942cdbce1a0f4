# SPDX-License-Identifier: GPL-3.0-or-later
"""One end of a route: address pattern, port and interface, and how well an address matches it.

Comparison is bit by bit as in wolfSentry's ``routes.c``. Version 1.6.3 as released compares the last, partial octet of
a prefix from the wrong end; ``released`` reproduces that fault.
"""

from __future__ import annotations

from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """``address`` has as many octets as ``bits`` need. For a bitmask it is address and mask, with twice the bits."""

    address: bytes = b""
    bits: int = 0
    port: int = 0
    interface: int = 0

    def key(self) -> tuple[bytes, int]:
        return self.address, self.bits


def match_prefix(pattern: Pattern, target: bytes, *, wild: bool, released: bool) -> bool | None:
    """``True``: the whole address is equal; ``False``: only the prefix matches; ``None``: no match."""
    if pattern.bits == 8 * len(target):
        return True if pattern.address == target else False if wild else None
    if wild or pattern.bits == 0:
        return False
    whole, rest = divmod(pattern.bits, 8)
    if pattern.address[:whole] != target[:whole]:
        return None
    shift = rest if released else 8 - rest
    return False if not rest or pattern.address[whole] >> shift == target[whole] >> shift else None


def match_bitmask(pattern: Pattern, target: bytes, *, wild: bool) -> bool | None:
    """Returns as ``match_prefix``."""
    width = len(target)
    address, mask = pattern.address[:width], pattern.address[width:]
    if wild:
        return False
    if bytes(a & b for a, b in zip(target, mask, strict=True)) != address:
        return None
    return target == address


def count_prefix(pattern: Pattern, target: bytes, *, released: bool) -> int:
    """Number of equal leading bits, which breaks ties."""
    length = min(pattern.bits, 8 * len(target))
    agreed = 0
    while agreed < length >> 3 and pattern.address[agreed] == target[agreed]:
        agreed += 1
    agreed <<= 3
    while agreed < length:
        bit = 1 << (agreed & 7) if released else 0x80 >> (agreed & 7)
        if (pattern.address[agreed >> 3] ^ target[agreed >> 3]) & bit:
            break
        agreed += 1
    return agreed


def count_bitmask(pattern: Pattern) -> int:
    """Number of zero bits of the masked address, by which wolfSentry breaks ties with a bitmask."""
    address = pattern.address[: len(pattern.address) // 2]
    return 8 * len(address) - int.from_bytes(address).bit_count()


def cut_prefix(address: bytes, bits: int, *, released: bool) -> bytes:
    """The octets that ``bits`` need, with the bits after the prefix cleared."""
    whole, rest = divmod(bits, 8)
    if not rest:
        return address[:whole]
    mask = 0xFF << rest if released else 0xFF << (8 - rest)
    last = address[whole]
    kept = last & mask & 0xFF if not released or last & 0xFF >> (8 - rest) else last
    return address[:whole] + bytes((kept,))
