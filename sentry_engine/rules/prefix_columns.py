# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsing of many prefixes to columns: in C, if the native core is built, because policies have millions.

Text that C refuses is parsed again in Python, which decides and raises the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentry_engine.addresses import pack_network

try:
    from sentry_engine import _core
except ImportError:  # without the native core: the same rows in ten times the time
    _core: Any = None  # type: ignore[no-redef]

PackedColumns = tuple[bytes, bytes]  # networks, 16 bytes a row; lengths, one byte a row


def pack_networks(texts: Sequence[str]) -> PackedColumns:
    """``pack_network`` of each text. Raises ``AddressError`` for the first malformed one."""
    found = None if _core is None else pack_in_c(texts)
    return pack_in_python(texts) if found is None else found


def pack_in_python(texts: Sequence[str]) -> PackedColumns:
    rows = list(map(pack_network, texts))
    return b"".join(packed for packed, _ in rows), bytes(length for _, length in rows)


def pack_in_c(texts: Sequence[str]) -> PackedColumns | None:
    """``None`` if one of them is malformed. Releases the GIL."""
    lines, rows = "\n".join(texts), len(texts)
    if not lines.isascii():
        return None
    networks, lengths = bytearray(16 * rows), bytearray(rows)
    room = (_core.ffi.from_buffer("uint8_t[]", networks), _core.ffi.from_buffer("uint8_t[]", lengths))
    if not _core.lib.se_networks_parse(lines.encode(), len(lines), *room, rows):
        return None
    return bytes(networks), bytes(lengths)
