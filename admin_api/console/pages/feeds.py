# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of networks that the policy reads from files and other servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page
from admin_api.console.rendering import segment

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_feeds(visit: Visit) -> Response:
    return await visit.listing("policy/feeds.html", "feeds")


async def refresh(visit: Visit) -> Response:
    await visit.api.post(f"feeds/{segment(visit.path['id'])}:refresh")
    return visit.go("/feeds", done="feed_refreshed")


PAGES = (
    Page("GET", "/feeds", ("policy:read",), list_feeds),
    Page("POST", "/feeds/{id}/refresh", ("policy:write",), refresh),
)
