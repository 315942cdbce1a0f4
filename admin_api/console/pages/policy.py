# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of the policy: what changed, who did it, keeping an applied one and going back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.forms import FormError
from admin_api.console.page import Page
from admin_api.console.pages.rules import CONFIRM_WITHIN

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

MOST_NODES = 200  # that are shown
MOST_DIGITS = 6  # of minutes
NODE = "node:"  # the field of a node's box begins with it


async def list_versions(visit: Visit) -> Response:
    """In a fleet with what each node has in force, and the policy that some of them try first."""
    fleet, nodes = None, []
    if visit.services.fleet is not None and visit.may("status:read"):
        fleet = await visit.api.get("fleet")
        nodes = (await visit.api.get("nodes", limit=MOST_NODES))["items"]
    template = "policy/policy_nodes.html" if visit.is_fragment else "policy/versions.html"
    return await visit.listing(template, "policy/versions", fleet=fleet, nodes=nodes)


async def show(visit: Visit) -> Response:
    detail = await visit.api.get(f"policy/versions/{visit.path['number']}")
    return await visit.page("policy/version.html", detail=detail)


async def confirm(visit: Visit) -> Response:
    await visit.api.post("policy/confirm")
    return visit.go("/rules", done="confirmed")


async def try_first(visit: Visit) -> Response:
    """Put the rule files on disk in force on the chosen nodes alone. The other fields: minutes, and why."""
    fields = await visit.form()
    minutes = fields.get("minutes", "")
    body = {
        "canary": [name.removeprefix(NODE) for name in fields if name.startswith(NODE)],
        "confirm_within": 60 * int(minutes) if minutes.isdecimal() and len(minutes) < MOST_DIGITS else None,
        "reason": fields.get("reason", ""),
    }
    if not body["canary"]:
        raise FormError("No node is chosen")
    await visit.api.post("policy/apply", body)
    return visit.go("/policy/versions", done="canary_started")


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
    Page("POST", "/policy/canary", ("policy:write",), try_first, step_up=True),
    Page("POST", "/policy/confirm", ("policy:write",), confirm),
    Page("POST", "/policy/rollback", ("policy:write",), roll_back, step_up=True),
)
