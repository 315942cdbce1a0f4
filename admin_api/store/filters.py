# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of a list: columns that have a value, and a span of time; and the page of a list by one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

    Condition = ColumnElement[bool]
    Row = TypeVar("Row")


def conditions_of(
    values: Iterable[tuple[InstrumentedAttribute[Any], object]],
    at: InstrumentedAttribute[datetime],
    since: datetime | None,
    until: datetime | None,
) -> list[Condition]:
    """Returns the conditions; ``None`` is none. Rows are wanted from ``since`` on and before ``until``."""
    found: list[Condition] = [column == value for column, value in values if value is not None]
    found += [] if since is None else [at >= since]
    found += [] if until is None else [at < until]
    return found


def page_by(
    query: Select[Row], column: InstrumentedAttribute[Any], *, past: int | str | None, limit: int, rising: bool
) -> Select[Row]:
    """Returns ``query`` for the ``limit`` rows past ``past``, by ``column``: a primary key, so that it is no search."""
    ordered = query.order_by(column if rising else column.desc()).limit(limit)
    return ordered if past is None else ordered.where(column > past if rising else column < past)
