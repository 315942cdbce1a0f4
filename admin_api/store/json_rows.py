# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows for a statement as one JSON text (lists in column order), which the database unpacks.

A statement per row would release and reacquire the interpreter's lock each time: beside a busy event loop that costs
5 ms per row.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Text, bindparam, func, select
from sqlalchemy import cast as sql_cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, FromClause, Subquery, Table

ROWS = "rows"  # the parameter of a statement with ``unpack_rows``: the text of ``render_rows``


def render_rows(rows: Iterable[Sequence[object]]) -> str:
    """Returns the text of ``ROWS``. Raises ``TypeError`` or ``ValueError`` for a value that no column holds."""
    return json.dumps([*rows], allow_nan=False)


def format_time(value: datetime) -> str:
    """Returns UTC text without a zone, as SQLAlchemy stores it in SQLite and as PostgreSQL reads it."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds").removesuffix("+00:00")


def unpack_rows(table: Table, columns: Sequence[str], dialect: str) -> Subquery:
    """Selects the rows of the parameter; each has the ``columns`` of ``table``, in this order."""
    source: FromClause
    if dialect == "postgresql":
        source = func.json_array_elements(sql_cast(bindparam(ROWS, type_=Text), JSON)).table_valued("value")
    else:
        # Kept, because SQLite writes the text of a row again for each reference to it: half of an insert's time.
        each = select(func.json_each(bindparam(ROWS, type_=Text)).table_valued("value").c.value)
        source = each.cte("each").prefix_with("MATERIALIZED")
    return select(*(_extract(dialect, source, table, at, name) for at, name in enumerate(columns))).subquery("new")


def _extract(dialect: str, source: FromClause, table: Table, at: int, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if dialect == "postgresql":
        arrow = "->" if isinstance(column.type, JSON) else "->>"
        return sql_cast(source.c.value.op(arrow)(at), column.type).label(name)
    return func.json_extract(source.c.value, f"$[{at}]").label(name)
