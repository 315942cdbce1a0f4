# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages are made of: colours, spaces, sizes of type, and each component in each of its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

COLOURS = ("ink", "quiet", "accent", "good", "warn", "bad")
SPACES = (1, 2, 3, 4, 5, 6)
SIZES = ("small", "", "large", "huge")
VERDICTS = ("accept", "reject", "rate_limited")
REFUSAL = ApiRefusal(
    409, {"title": "Conflict", "detail": "Somebody else changed it", "errors": [{"pointer": "/cidr", "detail": "x"}]}
)


async def show(visit: Visit) -> Response:
    return await visit.page(
        "frame/components.html",
        colours=COLOURS,
        spaces=SPACES,
        sizes=SIZES,
        verdicts=VERDICTS,
        refusal=REFUSAL,
        moment=visit.signed_in_at.isoformat(),
    )


PAGES = (Page("GET", "/components", ("status:read",), show),)
