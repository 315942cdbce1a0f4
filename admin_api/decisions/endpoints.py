# SPDX-License-Identifier: GPL-3.0-or-later
"""``/decisions``."""

from itertools import islice
from typing import Annotated

from fastapi import Query

from admin_api.decisions.schemas import CountryView, NetworkView, PlacesView
from admin_api.dependencies import DecisionsRead, ServicesOf
from admin_api.event_hub import KEPT_DECISIONS
from admin_api.events.schemas import EventView, show_event
from admin_api.http.paging import Page
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Ip
from admin_api.metrics.place_counts import PlaceCount
from sentry_engine import Action

MAX_NETWORKS = 1000
router = resource_router("/decisions", tag="decisions")


@router.get("", responses=responses())
async def list_decisions(
    _: DecisionsRead,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=KEPT_DECISIONS)] = 100,
    address: Annotated[Ip | None, Query(description="Only verdicts about this source.")] = None,
    user: Annotated[str | None, Query(max_length=64)] = None,
    verdict: Annotated[Action | None, Query()] = None,
) -> Page[EventView]:
    """List the latest verdicts of the event stream, newest first. They are kept in memory and lost at a restart."""
    wanted = {
        name: str(value)
        for name, value in (("address", address), ("user", user), ("verdict", verdict))
        if value is not None
    }
    found = (
        event
        for event in services.events.decisions()
        if all(str(event.fields.get(name)) == value for name, value in wanted.items())
    )
    return Page(items=[show_event(event) for event in islice(found, limit)])


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
