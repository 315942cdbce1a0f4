# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups with their settings and members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page
from admin_api.console.rendering import segment

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_groups(visit: Visit) -> Response:
    return await visit.listing("accounts/groups.html", "groups")


async def show(visit: Visit) -> Response:
    group = await visit.api.get(f"groups/{segment(visit.path['name'])}")
    return await visit.page("accounts/group.html", group=group)


PAGES = (
    Page("GET", "/groups", ("users:read",), list_groups),
    Page("GET", "/groups/{name}", ("users:read",), show),
)
