# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a fleet: which are heard, how far behind they are, and draining one. A single server has none."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_nodes(visit: Visit) -> Response:
    if visit.services.fleet is None:
        return await visit.page("server/nodes.html", fleet=None, rows=[], next_cursor=None)
    fleet = await visit.api.get("fleet")
    template = "server/nodes_list.html" if visit.is_fragment else "server/nodes.html"
    return await visit.listing(template, "nodes", fleet=fleet)


async def drain(visit: Visit) -> Response:
    await visit.api.post(f"nodes/{_name(visit)}:drain")
    return visit.go("/nodes", done="node_drains")


async def resume(visit: Visit) -> Response:
    await visit.api.post(f"nodes/{_name(visit)}:resume")
    return visit.go("/nodes", done="node_resumed")


async def forget(visit: Visit) -> Response:
    await visit.api.delete(f"nodes/{_name(visit)}")
    return visit.go("/nodes", done="node_forgotten")


def _name(visit: Visit) -> str:
    return quote(visit.path["name"], safe="")


PAGES = (
    Page("GET", "/nodes", ("status:read",), list_nodes),
    Page("POST", "/nodes/{name}/drain", ("settings:write",), drain, step_up=True),
    Page("POST", "/nodes/{name}/resume", ("settings:write",), resume),
    Page("POST", "/nodes/{name}/forget", ("settings:write",), forget, step_up=True),
)
