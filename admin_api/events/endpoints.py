# SPDX-License-Identifier: GPL-3.0-or-later
"""``/events``: server-sent events."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from admin_api.dependencies import EventsRead, ServicesOf
from admin_api.event_hub import GAP, MAX_LISTENERS, Listener, TooManyListenersError
from admin_api.event_schemas.union import EVENT_KINDS, EventKind
from admin_api.events.schemas import show_event
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router

router = resource_router("/events", tag="events")
MAX_BATCH = 256  # events
BATCH = "batch"  # the name of a batch in the stream

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)]
Follow = Annotated[bool, Query(description="`false`: end the stream after the latest event.")]
Kinds = Annotated[
    list[EventKind],
    Query(alias="kind", max_length=len(EVENT_KINDS), description="Only events of this kind. May be repeated."),
]
Batch = Annotated[
    int,
    Query(
        ge=1,
        le=MAX_BATCH,
        description="More than 1: an event `batch` holds a list of up to so many events that are ready together.",
    ),
]


async def subscription(
    _: EventsRead,
    services: ServicesOf,
    last_event_id: LastEventId = None,
    follow: Follow = True,
    kinds: Kinds = [],  # noqa: B006 - FastAPI copies it
) -> AsyncIterator[Listener]:
    """Subscribe before the answer begins, so that a server with too many listeners can refuse with 503."""
    wanted = {*kinds, GAP} if kinds else ()
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(services.events.listening(last_event_id, kinds=wanted))
        except TooManyListenersError:
            detail = f"The maximum of {MAX_LISTENERS} event streams is open"
            raise ApiError(ProblemKind.UNAVAILABLE, detail, headers={"Retry-After": "30"}) from None
        if not follow:
            listener.close()
        yield listener


@router.get("", response_class=EventSourceResponse, responses=responses(ProblemKind.UNAVAILABLE))
async def stream_events(
    listener: Annotated[Listener, Depends(subscription)], services: ServicesOf, batch: Batch = 1
) -> AsyncIterator[ServerSentEvent]:
    """Stream events as they happen; with Last-Event-ID, starting after that event.

    An event ``gap`` tells how many events the stream missed, because the client read too slowly or was away too long.
    After 15 seconds without events a comment is sent.
    """
    async for events in listener.batches(batch):
        shown = [show_event(event).model_dump_json() for event in events]
        data, name = (shown[0], events[0].kind) if batch == 1 else (f"[{','.join(shown)}]", BATCH)
        yield ServerSentEvent(raw_data=data, event=name, id=services.events.id_of(events[-1]))
