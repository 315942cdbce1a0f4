# SPDX-License-Identifier: GPL-3.0-or-later
"""Events as they happen. The browser reads them from a stream, in batches."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from admin_api.console.page import Page
from admin_api.event_hub import TooManyListenersError
from admin_api.events.schemas import show_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from admin_api.console.visit import Visit
    from admin_api.event_hub import EventHub

BATCH_TIME = 0.1  # seconds that events are gathered for one message
MAX_BATCH = 500


async def show(visit: Visit) -> Response:
    return await visit.page("server/live.html", kind=visit.query.get("kind", ""), text=visit.query.get("text", ""))


async def stream(visit: Visit) -> Response:
    """Server-sent events whose data is an array of events, at most ten times a second."""
    last = visit.request.headers.get("last-event-id")
    return StreamingResponse(
        _batches(visit.services.events, last), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _batches(hub: EventHub, last_id: str | None) -> AsyncIterator[str]:
    try:
        with hub.listening(last_id) as listener:
            yield "retry: 2000\n\n"
            async for events in listener.batches(MAX_BATCH):
                yield _message(hub, events)
                await asyncio.sleep(BATCH_TIME)
    except TooManyListenersError:
        yield "event: full\ndata: []\n\n"


def _message(hub: EventHub, batch: list[Any]) -> str:
    shown = json.dumps([show_event(event).model_dump(mode="json") for event in batch], separators=(",", ":"))
    number = next((hub.id_of(event) for event in reversed(batch) if hub.id_of(event)), None)
    return (f"id: {number}\n" if number else "") + f"data: {shown}\n\n"


PAGES = (
    Page("GET", "/live", ("events:read",), show),
    Page("GET", "/live/stream", ("events:read",), stream),
)
