# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a database by ``maxminddb``. Import it where a database is read: most policies have none."""

from __future__ import annotations

import io
import struct

import maxminddb

# What maxminddb raises on damaged files, found by fuzzing: its decoder trusts the types and lengths it reads.
BROKEN = (
    maxminddb.InvalidDatabaseError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def open_database(data: bytes) -> maxminddb.Reader:
    """Raises one of ``BROKEN``."""
    return maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD)


def describe_error(error: Exception) -> str:
    """The text of ``maxminddb``'s error without its file object."""
    text = str(error).replace(f" ({io.BytesIO!r})", "").replace(f" (<{io.BytesIO!r}>)", "")
    return text or type(error).__name__
