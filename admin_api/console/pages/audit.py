# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: who changed what, and whether its chain of digests is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

PER_PAGE = 100


async def list_entries(visit: Visit) -> Response:
    answer = await visit.api.get("audit", cursor=visit.query.get("cursor"), limit=PER_PAGE)
    chain = await visit.api.get("audit/verify") if visit.query.get("verify") else None
    return await visit.page("audit.html", rows=answer["items"], next_cursor=answer["next_cursor"], chain=chain)


PAGES = (Page("GET", "/audit", ("audit:read",), list_entries),)
