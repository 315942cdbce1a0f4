# SPDX-License-Identifier: GPL-3.0-or-later
"""``/decisions``."""

from typing import Annotated

from fastapi import APIRouter, Query

from admin_api.access import DecisionsRead, ServicesOf
from admin_api.events.hub import KEPT_DECISIONS
from admin_api.events.schemas import EventView, show_event
from admin_api.paging import Page
from admin_api.problems import responses

router = APIRouter(prefix="/decisions", tags=["decisions"])


@router.get("", responses=responses())
async def list_decisions(
    _: DecisionsRead,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=KEPT_DECISIONS)] = 100,
) -> Page[EventView]:
    """The latest verdicts that reached the server's event stream, newest first. Kept in memory, not over a restart."""
    return Page(items=[show_event(event) for event in services.events.decisions()[:limit]])
