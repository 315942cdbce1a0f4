# SPDX-License-Identifier: GPL-3.0-or-later
"""``/decisions``."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from admin_api.decisions.schemas import CountryView, NetworkView, PlacesView
from admin_api.dependencies import DecisionsRead, NewestFirst, ServicesOf
from admin_api.event_hub import KEPT_DECISIONS
from admin_api.events.schemas import EventView, show_event
from admin_api.http.lists.paging import DEFAULT_LIMIT, Cursor, Page, Paging, paging
from admin_api.http.lists.sorting import sorted_page
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Ip
from admin_api.metrics.place_counts import PlaceCount
from admin_api.server_event import ServerEvent
from sentry_engine import Action

MAX_NETWORKS = 1000
SORT_KEYS: dict[str, Callable[[ServerEvent], str | float]] = {"at": lambda event: event.at.timestamp()}


async def decision_paging(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=KEPT_DECISIONS)] = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paging:
    """Paging with pages as long as all that is kept."""
    return await paging(request, response, limit, cursor)


DecisionPaging = Annotated[Paging, Depends(decision_paging)]
router = resource_router("/decisions", tag="decisions")


@router.get("", responses=responses())
async def list_decisions(
    _: DecisionsRead,
    services: ServicesOf,
    paging: DecisionPaging,
    address: Annotated[Ip | None, Query(description="Only verdicts about this source.")] = None,
    user: Annotated[str | None, Query(max_length=64, description="Only verdicts about this user.")] = None,
    verdict: Annotated[Action | None, Query(description="Only this verdict.")] = None,
    reason: Annotated[str | None, Query(max_length=64, description="Only verdicts for this reason.")] = None,
    sort: NewestFirst = "-at",
) -> Page[EventView]:
    """List the latest verdicts of the event stream, newest first. They are kept in memory and lost at a restart."""
    wanted = {
        name: str(value)
        for name, value in (("address", address), ("user", user), ("verdict", verdict), ("reason", reason))
        if value is not None
    }
    found = (
        event
        for event in services.events.decisions()
        if all(str(event.get(name)) == value for name, value in wanted.items())
    )
    return sorted_page(paging, found, sort, SORT_KEYS, lambda event: f"{event.number or 0:020}", show_event)


@router.get("/places", responses=responses())
async def get_decision_places(
    _: DecisionsRead,
    services: ServicesOf,
    networks: Annotated[int, Query(ge=0, le=MAX_NETWORKS, description="How many autonomous systems.")] = 100,
) -> PlacesView:
    """Count recorded verdicts by the country and autonomous system of their sources. Needs GeoIP databases."""
    counts = services.events.place_counts
    return PlacesView(
        since=services.started_at,
        countries=[
            CountryView(country=code, accepted=count.accepted, refused=count.refused)
            for code, count in sorted(counts.countries.items(), key=_most_refused_first)
        ],
        networks=[
            NetworkView(asn=asn, accepted=count.accepted, refused=count.refused)
            for asn, count in sorted(counts.networks.items(), key=_most_refused_first)[:networks]
        ],
    )


def _most_refused_first(item: tuple[str | int, PlaceCount]) -> tuple[int, int, str]:
    key, count = item
    return -count.refused, -count.accepted, str(key)
