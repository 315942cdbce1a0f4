# SPDX-License-Identifier: GPL-3.0-or-later
"""``/events``: server-sent events."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from admin_api.dependencies import EventsRead, ServicesOf
from admin_api.event_hub import MAX_LISTENERS, Listener, TooManyListenersError
from admin_api.events.schemas import show_event
from admin_api.http.problems import ApiError, ProblemKind, responses

router = APIRouter(prefix="/events", tags=["events"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)]
Follow = Annotated[bool, Query(description="`false`: end with the last event that has happened.")]


async def subscription(
    _: EventsRead, services: ServicesOf, last_event_id: LastEventId = None, follow: Follow = True
) -> AsyncIterator[Listener]:
    """Listens from here on: before the answer begins, so that a server with too many listeners can say so."""
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(services.events.listening(last_event_id))
        except TooManyListenersError:
            detail = f"{MAX_LISTENERS} clients listen already"
            raise ApiError(ProblemKind.UNAVAILABLE, detail, headers={"Retry-After": "30"}) from None
        if not follow:
            listener.close()
        yield listener


@router.get("", response_class=EventSourceResponse, responses=responses(ProblemKind.UNAVAILABLE))
async def stream_events(
    listener: Annotated[Listener, Depends(subscription)], services: ServicesOf
) -> AsyncIterator[ServerSentEvent]:
    """What happens, as it happens; with Last-Event-ID, from there on.

    An event ``gap`` says how many events were missed, by a listener too slow or away too long. A comment is sent where
    nothing happens for 15 seconds.
    """
    async for event in listener.events():
        data = show_event(event).model_dump_json()
        yield ServerSentEvent(raw_data=data, event=event.kind, id=services.events.id_of(event))
