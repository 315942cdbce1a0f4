# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from a new server to one in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

# Where the console takes a step itself, and with which scope.
LINKS = {
    "user": ("/users/new", "users:write", "Add a user"),
    "second_token": ("/tokens", "tokens:write", "Create a token"),
    "connection": ("/sessions", "sessions:read", "Sessions"),
}


async def show(visit: Visit) -> Response:
    answer = await visit.api.get("first-steps")
    links = {name: (path, text) for name, (path, scope, text) in LINKS.items() if visit.may(scope)}
    template = "server/first_steps_list.html" if visit.is_fragment else "server/first_steps.html"
    return await visit.page(template, steps=answer["steps"], taken=answer["done"], links=links)


PAGES = (Page("GET", "/first-steps", ("status:read",), show),)
