# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting rows of sessions, written in batches by one statement with one parameter (see ``json_rows``)."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import case, func, select, true, update

from admin_api.store.json_rows import format_time, unpack_rows
from admin_api.store.tables import SessionRecord
from admin_api.store.upsert import upsert
from sentry_engine.addresses import show_address
from vpn_frontend.ports import NO_TRANSPORT, CloseReason

if TYPE_CHECKING:
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
STARTING = ("id", "user", "groups", "ipv4", "ipv6", "user_agent", "hostname", "started_at", "node")
CHANGING = ("address", "port", "tls_version", "cipher", "transport", "seen_at", *COUNTED)  # while a session lives
ENDING = ("ended_at", "end_reason", "resumption")
COLUMNS = (*STARTING, *CHANGING, *ENDING)  # in the order of ``Account.row``


class Account:
    """The row of a session, from its entries of one batch: of the first one the start, of the last one the rest."""

    __slots__ = ("_first", "_last", "_reason", "_transport")

    def __init__(self, entry: JournalEntry) -> None:
        self._first, self._last, self._reason = entry, entry.view, entry.reason
        self._transport = _transport_of(entry.view)

    def see(self, view: SessionView) -> None:
        """Take the present state, unless the session has ended."""
        if self._reason is not None:
            return
        self._last = view
        transport = _transport_of(view)
        if transport != NO_TRANSPORT:  # the channel may have ended before the session
            self._transport = transport

    def end(self, view: SessionView, reason: CloseReason) -> None:
        """The first end counts."""
        self.see(view)
        self._reason = self._reason or reason

    def row(self, seen_at: str, node: str) -> tuple[object, ...]:
        """``seen_at`` is text from ``format_time``."""
        first, last, reason = self._first.view, self._last, self._reason
        return (
            first.id,
            first.user,
            first.groups,
            None if first.ipv4 is None else show_address(first.ipv4),
            None if first.ipv6 is None else show_address(first.ipv6),
            first.user_agent,
            first.hostname,
            format_time(first.started_at),
            node,
            show_address(last.address),
            last.port,
            last.tls_version,
            last.cipher,
            self._transport,
            seen_at,
            *_counted(last.counters),
            None if reason is None else seen_at,
            None if reason is None else reason.value,
            (self._first.resumption or None) if reason is None else None,
        )


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


def _transport_of(view: SessionView) -> str:
    return DTLS if view.counters.dtls_rx_packets else view.transport


_counted = attrgetter(*COUNTED)
