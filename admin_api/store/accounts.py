# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the table of sessions, written by the hundred in one statement with one parameter.

The rows travel as one JSON text that the database takes apart. A statement for each would give the interpreter's lock
away and wait for it again at every row: beside a busy event loop that is 5 ms each.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import JSON, Table, Text, bindparam, case, func, select, true, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite

from admin_api.store.tables import SessionRecord
from vpn_frontend.ports import NO_TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, ColumnElement, Executable, FromClause, Subquery

    from vpn_frontend.ports import CloseReason, JournalEntry, SessionView

ROWS = "rows"  # the parameter of both statements: what ``render`` made
TABLE = cast("Table", SessionRecord.__table__)
# The columns that are counters of the gateway, by the same names.
COUNTED = (
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
    "rx_dropped",
    "tx_dropped",
    "dtls_rx_packets",
    "dtls_rx_bytes",
    "dtls_tx_packets",
    "dtls_tx_bytes",
)
CHANGING = ("address", "port", "tls_version", "cipher", "transport", "seen_at", *COUNTED)  # while a session lives
ENDING = ("ended_at", "end_reason")
Account = dict[str, Any]  # by column


def begin_account(entry: JournalEntry, now: datetime) -> Account:
    """The whole row of a session as ``entry`` shows it."""
    view = entry.view
    account = {
        "id": view.id,
        "user": view.user,
        "groups": view.groups,
        "ipv4": None if view.ipv4 is None else str(view.ipv4),
        "ipv6": None if view.ipv6 is None else str(view.ipv6),
        "user_agent": view.user_agent,
        "hostname": view.hostname,
        "started_at": _moment(view.started_at),
        "ended_at": None,
        "end_reason": None,
        "transport": view.transport,
    }
    _update(account, view, now)
    if entry.reason is not None:
        end_account(account, view, entry.reason, now)
    return account


def end_account(account: Account, view: SessionView, reason: CloseReason, now: datetime) -> None:
    """The end of a session whose start is in the same batch. The first end counts."""
    if account["ended_at"] is None:
        _update(account, view, now)
        account["ended_at"], account["end_reason"] = account["seen_at"], reason.value


def render(accounts: Iterable[Account]) -> str:
    """What ``ROWS`` takes. Raises ``TypeError`` or ``ValueError`` for a value that no column holds."""
    return json.dumps(list(accounts), allow_nan=False)


@cache
def upsert(dialect: str) -> Executable:
    """A session that is not in the table begins; one that is, and is open, ends if the new row says so."""
    rows = _unpack(dialect)
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(TABLE)
    insert = insert.from_select(list(rows.c.keys()), select(rows).where(true()))
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[TABLE.c.id],
        set_={name: _newest(name, new[name]) for name in (*CHANGING, *ENDING)},
        where=TABLE.c.ended_at.is_(None) & new.ended_at.is_not(None),
    )


@cache
def refresh(dialect: str) -> Executable:
    """The counters so far, of sessions that are open."""
    rows = _unpack(dialect)
    return (
        update(TABLE)
        .where(TABLE.c.id == rows.c.id, TABLE.c.ended_at.is_(None))
        .values({name: _newest(name, rows.c[name]) for name in CHANGING})
        .execution_options(synchronize_session=False)
    )


def _unpack(dialect: str) -> Subquery:
    """The rows of the parameter, with the columns of the table (but for the serial number, which it gives)."""
    if dialect == "postgresql":
        source = func.json_array_elements(sql_cast(bindparam(ROWS, type_=Text), JSON)).table_valued("value")
    else:
        source = func.json_each(bindparam(ROWS, type_=Text)).table_valued("value")
    return select(*(_extract(dialect, source, column) for column in TABLE.c if not column.primary_key)).subquery("new")


def _extract(dialect: str, source: FromClause, column: Column[Any]) -> ColumnElement[Any]:
    if dialect == "postgresql":
        arrow = "->" if isinstance(column.type, JSON) else "->>"
        return sql_cast(source.c.value.op(arrow)(column.name), column.type).label(column.name)
    return func.json_extract(source.c.value, f"$.{column.name}").label(column.name)


def _newest(name: str, new: ColumnElement[Any]) -> ColumnElement[Any]:
    """A session without a channel keeps the transport that it had last."""
    return case((new == NO_TRANSPORT, TABLE.c.transport), else_=new) if name == "transport" else new


def _update(account: Account, view: SessionView, now: datetime) -> None:
    account["address"] = str(view.address)
    account["port"] = view.port
    account["tls_version"] = view.tls_version
    account["cipher"] = view.cipher
    if view.transport != NO_TRANSPORT:
        account["transport"] = view.transport
    account["seen_at"] = _moment(now)
    for name in COUNTED:
        account[name] = getattr(view.counters, name)


def _moment(value: datetime) -> str:
    """As SQLAlchemy keeps it in SQLite, and as PostgreSQL reads it: UTC without a zone."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
