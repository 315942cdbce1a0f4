# SPDX-License-Identifier: GPL-3.0-or-later
"""Penalised sources, and forgiving them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_penalties(visit: Visit) -> Response:
    return await visit.listing("policy/penalties.html", "penalties")


async def forgive(visit: Visit) -> Response:
    fields = await visit.form()
    answer = await visit.api.delete("penalties", network=fields.get("network"))
    done = "forgiven" if answer["forgiven"] else "nothing_forgiven"
    return visit.go("/penalties", done=done)


PAGES = (
    Page("GET", "/penalties", ("penalties:read",), list_penalties),
    Page("POST", "/penalties/forgive", ("penalties:write",), forgive),
)
