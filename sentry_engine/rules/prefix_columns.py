# SPDX-License-Identifier: GPL-3.0-or-later
"""Many prefixes from texts to columns: in C, as policies have them by the million, where the native core is built.

What C does not take goes the way through Python, which decides whether it is a prefix and finds the words if not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentry_engine.addresses import pack_network

try:
    from sentry_engine import _core
except ImportError:  # the twin alone: the same rows, in ten times the time
    _core: Any = None  # type: ignore[no-redef]

PackedColumns = tuple[bytes, bytes]  # 16 bytes a row, and one


def pack_networks(texts: Sequence[str]) -> PackedColumns:
    """``pack_network`` of each. Raises ``AddressError`` for the first that is no prefix."""
    found = None if _core is None else pack_in_c(texts)
    return pack_in_python(texts) if found is None else found


def pack_in_python(texts: Sequence[str]) -> PackedColumns:
    rows = list(map(pack_network, texts))
    return b"".join(packed for packed, _ in rows), bytes(length for _, length in rows)


def pack_in_c(texts: Sequence[str]) -> PackedColumns | None:
    """``None`` where one of them is no prefix. Without the GIL."""
    lines, rows = "\n".join(texts), len(texts)
    if not lines.isascii():
        return None
    networks, lengths = bytearray(16 * rows), bytearray(rows)
    room = (_core.ffi.from_buffer("uint8_t[]", networks), _core.ffi.from_buffer("uint8_t[]", lengths))
    if not _core.lib.se_networks_parse(lines.encode(), len(lines), *room, rows):
        return None
    return bytes(networks), bytes(lengths)
