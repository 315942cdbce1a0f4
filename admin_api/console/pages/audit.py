# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: who changed what, and whether its chain of digests is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_entries(visit: Visit) -> Response:
    chain = await visit.api.get("audit/verify") if visit.query.get("verify") else None
    return await visit.listing("server/audit.html", "audit", chain=chain)


PAGES = (Page("GET", "/audit", ("audit:read",), list_entries),)
