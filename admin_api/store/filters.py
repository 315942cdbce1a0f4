# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of a list: columns that have a value, and a span of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute

    Condition = ColumnElement[bool]


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
