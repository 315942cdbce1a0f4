# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions, one session, past sessions, and ending one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_live(visit: Visit) -> Response:
    template = "sessions/sessions_table.html" if visit.is_fragment else "sessions/sessions.html"
    return await visit.listing(template, "sessions", query={"user": visit.query.get("user")})


async def list_past(visit: Visit) -> Response:
    return await visit.listing(
        "sessions/session_history.html", "sessions/history", query={"user": visit.query.get("user")}
    )


async def show(visit: Visit) -> Response:
    session = await visit.api.get(f"sessions/{visit.path['id']}")
    return await visit.page("sessions/session.html", session=session)


async def end(visit: Visit) -> Response:
    """Ends the session; its client shows the reason."""
    fields = await visit.form()
    keep = fields.get("keep_cookie") == "yes"
    await visit.api.delete(f"sessions/{visit.path['id']}", reason=fields.get("reason"), keep_cookie=keep)
    return visit.go("/sessions", done="session_ended")


PAGES = (
    Page("GET", "/sessions", ("sessions:read",), list_live),
    Page("GET", "/sessions/history", ("sessions:read",), list_past),
    Page("GET", "/sessions/{id}", ("sessions:read",), show),
    Page("POST", "/sessions/{id}/end", ("sessions:write",), end, step_up=True),
)
