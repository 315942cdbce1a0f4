# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells an unavailable database (locked, away, disk full) from an error of one statement."""

from __future__ import annotations

from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)


def is_unavailable(error: BaseException) -> bool:
    """True if the database itself failed, so that the same work may succeed later."""
    return isinstance(error, UNAVAILABLE) or type(error) is DatabaseError
