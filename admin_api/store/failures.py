# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells an unavailable database (locked, away, disk full) from an error of one statement."""

from __future__ import annotations

from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

MAX_WORDS = 200  # characters of a description
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)


class StoreInUseError(Exception):
    """Another server uses the database."""


class StoreSilentError(PoolTimeoutError):
    """A request was not sent to the database, which answers others late or not at all."""


class DriverMissingError(Exception):
    """The Python package that speaks to the database is not installed."""


class StoreDamagedError(Exception):
    """The database file is not one, or its pages contradict each other."""


class StoreNewerError(Exception):
    """The database has the schema of a later version of this program, which this one can neither read nor change."""


def is_unavailable(error: BaseException) -> bool:
    """True if the database itself failed, so that the same work may succeed later."""
    return isinstance(error, UNAVAILABLE) or type(error) is DatabaseError


def is_silence(error: BaseException) -> bool:
    """True if PostgreSQL gave no answer. A statement that it ended itself was answered: the server is alive."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None
    return isinstance(error, PoolTimeoutError)


def describe_failure(error: BaseException) -> str:
    """Returns the database's own words in one line, for instance "database or disk is full", without the statement."""
    words = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
    return words[:MAX_WORDS]
