# SPDX-License-Identifier: GPL-3.0-or-later
"""The first page: is the server well, who is in, what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

RECENT = 8  # decisions and sessions shown


async def show(visit: Visit) -> Response:
    status = await visit.api.get("status")
    sessions = await visit.api.get("sessions", limit=RECENT) if visit.may("sessions:read") else None
    refused = None
    if visit.may("decisions:read"):
        refused = await visit.api.get("decisions", verdict="reject", limit=RECENT)
    template = "server/overview_figures.html" if visit.is_fragment else "server/overview.html"
    return await visit.page(template, status=200, server=status, sessions=sessions, refused=refused)


PAGES = (Page("GET", "/", ("status:read",), show),)
