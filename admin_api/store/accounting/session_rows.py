# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting rows of sessions, written in batches by one statement with one parameter (see ``json_rows``)."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import case, func, select, true, update

from admin_api.store.json_rows import format_time, render_rows, unpack_rows
from admin_api.store.tables import SessionRecord
from admin_api.store.upsert import upsert
from sentry_engine.addresses import show_address
from vpn_frontend.ports import NO_TRANSPORT, CloseReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Executable, Table

    from vpn_frontend.ports import JournalEntry, SessionView

DTLS = "dtls"  # the transport of a session whose client has sent packets over DTLS
TABLE = cast("Table", SessionRecord.__table__)
# The columns that hold the gateway's counters of the same names.
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
ENDING = ("ended_at", "end_reason", "resumption")
COLUMNS = tuple(column.name for column in TABLE.c if not column.primary_key)
Account = dict[str, Any]  # by column, in the order of COLUMNS


def begin_account(entry: JournalEntry, seen_at: str, node: str) -> Account:
    """Returns the whole row of a session. ``seen_at`` is text from ``format_time``."""
    view = entry.view
    account: Account = dict.fromkeys(COLUMNS)
    account["id"] = view.id
    account["user"] = view.user
    account["groups"] = view.groups
    account["ipv4"] = None if view.ipv4 is None else show_address(view.ipv4)
    account["ipv6"] = None if view.ipv6 is None else show_address(view.ipv6)
    account["user_agent"] = view.user_agent
    account["hostname"] = view.hostname
    account["started_at"] = format_time(view.started_at)
    account["transport"] = view.transport
    account["node"] = node
    account["resumption"] = entry.resumption or None
    _update(account, view, seen_at)
    if entry.reason is not None:
        end_account(account, view, entry.reason, seen_at)
    return account


def see_account(account: Account, view: SessionView, seen_at: str) -> None:
    """Update a session whose start is in the same batch, unless it has ended."""
    if account["ended_at"] is None:
        _update(account, view, seen_at)


def end_account(account: Account, view: SessionView, reason: CloseReason, seen_at: str) -> None:
    """Set the end of a session whose start is in the same batch. The first end counts."""
    if account["ended_at"] is None:
        _update(account, view, seen_at)
        account["ended_at"], account["end_reason"] = seen_at, reason.value
        account["resumption"] = None


def render_accounts(accounts: Iterable[Account]) -> str:
    """Returns the parameter of both statements. Raises ``TypeError`` or ``ValueError`` for a bad value."""
    return render_rows(account.values() for account in accounts)


@cache
def insert_or_end(dialect: str) -> Executable:
    """Returns the statement that inserts new sessions, and ends open ones if the new row has an end."""
    rows = unpack_rows(TABLE, COLUMNS, dialect)
    insert = upsert(TABLE, dialect)
    insert = insert.from_select(list(rows.c.keys()), select(rows).where(true()))
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[TABLE.c.id],
        set_={name: _newest(name, new[name]) for name in (*CHANGING, *ENDING)},
        where=_is_open() & new.ended_at.is_not(None),
    )


@cache
def update_open(dialect: str) -> Executable:
    """Returns the statement that updates the changing columns of open sessions."""
    rows = unpack_rows(TABLE, COLUMNS, dialect)
    return (
        update(TABLE)
        .where(TABLE.c.id == rows.c.id, _is_open())
        .values(
            {name: _newest(name, rows.c[name]) for name in CHANGING}
            | {"resumption": func.coalesce(rows.c.resumption, TABLE.c.resumption), "ended_at": None, "end_reason": None}
        )
        .execution_options(synchronize_session=False)
    )


def _is_open() -> ColumnElement[bool]:
    """Another node may have ended it because this one was not heard. This one knows better."""
    return TABLE.c.ended_at.is_(None) | (TABLE.c.end_reason == CloseReason.NODE_LOST.value)


def _newest(name: str, new: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns the new value; a session without a channel keeps its last transport."""
    return case((new == NO_TRANSPORT, TABLE.c.transport), else_=new) if name == "transport" else new


def _update(account: Account, view: SessionView, seen_at: str) -> None:
    account["address"] = show_address(view.address)
    account["port"] = view.port
    account["tls_version"] = view.tls_version
    account["cipher"] = view.cipher
    if view.counters.dtls_rx_packets:  # the channel may have ended before the session
        account["transport"] = DTLS
    elif view.transport != NO_TRANSPORT:
        account["transport"] = view.transport
    account["seen_at"] = seen_at
    account.update(zip(COUNTED, _counted(view.counters), strict=True))


_counted = attrgetter(*COUNTED)
