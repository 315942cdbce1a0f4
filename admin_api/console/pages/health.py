# SPDX-License-Identifier: GPL-3.0-or-later
"""The server itself: whether it is ready, what waits for a restart, its addresses and its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def show(visit: Visit) -> Response:
    status = await visit.api.get("status")
    statistics = await visit.api.get("sessions/statistics") if visit.may("sessions:read") else None
    return await visit.page("server/health.html", server=status, statistics=statistics)


async def stats(visit: Visit) -> Response:
    """Time series for the charts, as the API gives them."""
    return JSONResponse(await visit.api.get("stats", resolution=visit.query.get("resolution")))


PAGES = (
    Page("GET", "/health", ("status:read",), show),
    Page("GET", "/stats", ("status:read",), stats),
)
