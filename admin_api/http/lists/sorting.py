# SPDX-License-Identifier: GPL-3.0-or-later
"""Sorted pages of lists in memory: ``?sort=user`` rising, ``?sort=-user`` falling; equal values by id.

The cursor holds the order, and value and id of the last row. So rows added or removed meanwhile shift nothing, and a
cursor of another order is refused.
"""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, TypeVar

from admin_api.http.lists.paging import bad_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from admin_api.http.lists.paging import Page, Paging

LAST = 1e18  # Unix time of what has no end

Row = TypeVar("Row")
T = TypeVar("T")
Value = str | float


def sorted_page(
    paging: Paging,
    rows: Iterable[Row],
    order: str,
    keys: Mapping[str, Callable[[Row], Value]],
    identity: Callable[[Row], str],
    show: Callable[[Row], T],
) -> Page[T]:
    """Returns the page of ``rows`` by ``order``: a name of ``keys``, falling with ``-`` before it.

    Costs one look at each row, and no sort of all. Raises ``ApiError`` for the cursor of another order.
    """
    falling, value_of = order.startswith("-"), keys[order.removeprefix("-")]

    def key(row: Row) -> tuple[Value, str]:
        return value_of(row), identity(row)

    def behind(row: Row) -> bool:
        return after is None or (key(row) < after if falling else key(row) > after)

    after = place_of(paging, order)
    try:
        found = (heapq.nlargest if falling else heapq.nsmallest)(paging.fetch, filter(behind, rows), key=key)
    except TypeError:  # the value of another type
        raise bad_cursor() from None
    return paging.page(found, show, lambda row: json.dumps([order, *key(row)]))


def place_of(paging: Paging, order: str) -> tuple[Value, str] | None:
    """Returns value and id of the row before the page; ``None``: it is the first page. Raises as ``sorted_page``."""
    return None if paging.after is None else _parse(paging.after, order)


def moment(value: datetime | None) -> float:
    """Returns the sort value of a time. ``None`` is the latest."""
    return LAST if value is None else value.timestamp()


def _parse(text: str, order: str) -> tuple[Value, str]:
    try:
        known, value, identity = json.loads(text)
    except (ValueError, TypeError):
        raise bad_cursor() from None
    if known != order or not isinstance(value, str | int | float) or not isinstance(identity, str):
        raise bad_cursor()
    return value, identity
