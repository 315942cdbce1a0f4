# SPDX-License-Identifier: GPL-3.0-or-later
"""One address: why it is refused or accepted, what it did, and what an operator can do about it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

ALLOW_TIME = 3600  # seconds
EVENTS = ("connect", "auth", "dtls")


async def find(visit: Visit) -> Response:
    """The search field's target: an address has its page, other text is the name of a user."""
    wanted = visit.query.get("address", "").strip()
    try:
        return visit.go(f"/addresses/{ip_address(wanted)}")
    except ValueError:
        return visit.go("/sessions", user=wanted) if wanted else await visit.page("sources/address_search.html")


async def show(visit: Visit) -> Response:
    address = visit.path["address"]
    view = await visit.api.get(f"addresses/{address}")
    event, user = visit.query.get("event", "connect"), visit.query.get("user", "")
    explanation = view["explanation"]
    if user or event != "connect":
        explanation = await visit.api.get("explain", address=address, event=event, user=user)
    return await visit.page(
        "sources/address.html", address=address, view=view, explanation=explanation, event=event, user=user
    )


async def allow(visit: Visit) -> Response:
    """Adds a rule that accepts the address for an hour."""
    address = visit.path["address"]
    now = visit.services.clock.wall()
    rule = {
        "id": f"allow_{address}_{now:%Y%m%d%H%M%S}".replace(":", "-").replace(".", "-"),
        "type": "whitelist",
        "remote_addr": address,
        "description": f"Allowed for an hour by {visit.principal.name.partition('#')[0]}",
        "ttl": ALLOW_TIME,
    }
    await visit.api.post("rules", rule)
    return visit.go(f"/addresses/{address}", done="allowed")


PAGES = (
    Page("GET", "/addresses", ("policy:read",), find),
    Page("GET", "/addresses/{address}", ("policy:read",), show),
    Page("POST", "/addresses/{address}/allow", ("rules:write",), allow),
)
