# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of the policy: what changed, who did it, keeping an applied one and going back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.page import Page
from admin_api.console.pages.rules import CONFIRM_WITHIN

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_versions(visit: Visit) -> Response:
    return await visit.listing("policy/versions.html", "policy/versions")


async def show(visit: Visit) -> Response:
    detail = await visit.api.get(f"policy/versions/{visit.path['number']}")
    return await visit.page("policy/version.html", detail=detail)


async def confirm(visit: Visit) -> Response:
    await visit.api.post("policy/confirm")
    return visit.go("/rules", done="confirmed")


async def roll_back(visit: Visit) -> Response:
    """Returns to the version of the form; without one, to the version before."""
    fields = await visit.form()
    number = fields.get("version", "")
    body = {"version": int(number) if number.isdigit() else None, "reason": "rolled back in the console"}
    if number:  # a version that is chosen may refuse its operator; the one before did not
        body["confirm_within"] = CONFIRM_WITHIN
    await visit.api.post("policy/rollback", body)
    return visit.go("/rules", done="rolled_back")


PAGES = (
    Page("GET", "/policy/versions", ("policy:read",), list_versions),
    Page("GET", "/policy/versions/{number:int}", ("policy:read",), show),
    Page("POST", "/policy/confirm", ("policy:write",), confirm),
    Page("POST", "/policy/rollback", ("policy:write",), roll_back, step_up=True),
)
