# SPDX-License-Identifier: GPL-3.0-or-later
"""Cursor paging of lists: ``?limit=&cursor=`` in, ``items`` and ``next_cursor`` out.

A cursor encodes the key of the page's last row, so rows added or removed meanwhile shift nothing. It is opaque to the
caller.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from admin_api.http.problems import ApiError, ProblemError, ProblemKind
from sentry_engine.records import dataclass

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_CURSOR = 2048  # characters; the key of every table is shorter

Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR, description="The next_cursor of the previous page.")]
T = TypeVar("T")
Row = TypeVar("Row")


class Page(BaseModel, Generic[T]):
    """One page of a list. ``next_cursor`` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """Start and length of a page. Fetch ``fetch`` rows from the store: the extra row tells that a next page exists."""

    after: str | None
    limit: int
    request: Request
    response: Response

    @property
    def fetch(self) -> int:
        return self.limit + 1

    def past(self, order: str) -> str | None:
        """Returns the key of the row before this page, of a list by one column (see ``keyed``).

        Raises ``ApiError`` for the cursor of another order.
        """
        if self.after is None:
            return None
        known, _, key = self.after.partition(" ")
        if known != order:
            raise bad_cursor()
        return key

    def past_number(self, order: str) -> int | None:
        """``past`` of a list whose keys are serial numbers."""
        key = self.past(order)
        if key is None:
            return None
        if not (key.isascii() and key.isdigit()) or len(key) > 18:
            raise bad_cursor()
        return int(key)

    def page(self, rows: Sequence[Row], show: Callable[[Row], T], key: Callable[[Row], str]) -> Page[T]:
        """Returns the page of the ``fetch`` rows, and sets the Link header to the next page."""
        shown = rows[: self.limit]
        cursor = _render(key(shown[-1])) if len(rows) > self.limit else None
        if cursor is not None:
            # Relative (RFC 8288, 3.1): behind a proxy the server knows neither scheme nor host of the caller's URL.
            target = f"{self.request.url.path}?{self.request.url.include_query_params(cursor=cursor).query}"
            self.response.headers["Link"] = f'<{target}>; rel="next"'
        return Page(items=[show(row) for row in shown], next_cursor=cursor)


async def paging(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paging:
    """Reads ``limit`` and ``cursor`` from the query. Raises ``ApiError`` for a malformed cursor."""
    return Paging(None if cursor is None else _parse(cursor), limit, request, response)


PagingQuery = Annotated[Paging, Depends(paging)]


def _render(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _parse(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_cursor() from None


def keyed(order: str, key: str | int) -> str:
    """Returns the text that ``Paging.past`` reads."""
    return f"{order} {key}"


def bad_cursor() -> ApiError:
    """Returns the error for a cursor that is none of the list."""
    detail = "not a cursor of this list"
    return ApiError(ProblemKind.INVALID, detail, errors=[ProblemError(pointer="/cursor", detail=detail, file="query")])
