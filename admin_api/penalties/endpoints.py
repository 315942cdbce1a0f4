# SPDX-License-Identifier: GPL-3.0-or-later
"""``/penalties``."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Literal

from fastapi import Query

from admin_api.dependencies import PenaltiesRead, PenaltiesWrite, ServicesOf
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import LAST, sorted_page
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Cidr
from admin_api.penalties.schemas import Forgiven, PenaltyView, SourceEvents, SourceView
from admin_api.services import Services
from sentry_engine import Penalty, Reason
from sentry_engine.addresses import render_network
from sentry_engine.engine.saved_state import SavedEvents, SavedSource
from vpn_frontend.settings import Network

router = resource_router("/penalties", tag="penalties")


def _key(penalty: Penalty) -> str:
    return f"{penalty.network.hex()}/{penalty.length:03}"


PenaltyOrder = Literal["network", "-network", "until", "-until", "strikes", "-strikes"]
SORT_KEYS: dict[str, Callable[[Penalty], str | float]] = {
    "network": _key,
    "until": lambda penalty: min(penalty.until, LAST),
    "strikes": lambda penalty: penalty.strikes,
}


@router.get("", responses=responses())
async def list_penalties(
    _: PenaltiesRead,
    services: ServicesOf,
    paging: PagingQuery,
    network: Annotated[Cidr | None, Query(description="Only sources inside this network.")] = None,
    reason: Annotated[Reason | None, Query(description="Only for this reason.")] = None,
    sort: Annotated[PenaltyOrder, Query(description="`-`: falling.")] = "network",
) -> Page[PenaltyView]:
    """List the sources in the penalty box, by network or as ``sort`` says."""
    found = (
        penalty
        for penalty in services.engine.penalties()
        if (reason is None or penalty.reason is reason) and _concerns(penalty, network)
    )
    return sorted_page(paging, found, sort, SORT_KEYS, _key, lambda penalty: show_penalty(services, penalty))


SourceOrder = Literal["network", "-network", "events", "-events", "strikes", "-strikes"]
SOURCE_KEYS: dict[str, Callable[[SavedSource], str | float]] = {
    "network": lambda source: source.network,
    "events": lambda source: source.weight[1],
    "strikes": lambda source: source.strikes,
}


@router.get("/sources", responses=responses())
async def list_sources(
    _: PenaltiesRead,
    services: ServicesOf,
    paging: PagingQuery,
    network: Annotated[Cidr | None, Query(description="Only sources inside this network.")] = None,
    sort: Annotated[SourceOrder, Query(description="`-`: falling.")] = "network",
) -> Page[SourceView]:
    """List the sources with events that limits count, or with strikes. Of more than 65 536 those with the most.

    What it shows may be a second old.
    """
    known = await services.source_listing.list()
    found = (source for source in known if network is None or _is_inside(ip_network(source.network), network))
    return sorted_page(paging, found, sort, SOURCE_KEYS, lambda source: source.network, show_source)


@router.delete("", responses=responses())
async def delete_penalties(
    caller: PenaltiesWrite,
    services: ServicesOf,
    network: Annotated[Cidr | None, Query(description="Only sources inside this network.")] = None,
    dry_run: Annotated[bool, Query(description="Change nothing; return how many penalties would end.")] = False,
) -> Forgiven:
    """End penalties, and clear the strikes and events that led to them. In a fleet: on all nodes."""
    if dry_run:
        return Forgiven(forgiven=sum(_concerns(penalty, network) for penalty in services.engine.penalties()))
    networks = ["0.0.0.0/0", "::/0"] if network is None else [str(network)]
    forgiven = sum(services.engine.clear_penalties(one) for one in networks)
    await services.kernel.lift()
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "penalties_forgiven", " ".join(networks), forgiven=forgiven)
        for one in networks:
            unit.changes.note("penalties_forgiven", one)
    return Forgiven(forgiven=forgiven)


def _concerns(penalty: Penalty, network: Network | None) -> bool:
    if network is None:
        return True
    return _is_inside(ip_network(render_network(penalty.network, penalty.length)), network)


def _is_inside(source: Network, network: Network) -> bool:
    return source.version == network.version and source.overlaps(network)


def show_source(source: SavedSource) -> SourceView:
    kinds: dict[str, list[SavedEvents]] = {}
    for burst in source.events:
        kinds.setdefault(burst.label, []).append(burst)
    events = [
        SourceEvents(
            event=label,
            count=sum(burst.count for burst in bursts),
            last_at=datetime.fromtimestamp(max(burst.last for burst in bursts), UTC),
        )
        for label, bursts in kinds.items()
    ]
    return SourceView(network=source.network, strikes=source.strikes, events=events)


def show_penalty(services: Services, penalty: Penalty) -> PenaltyView:
    endless = math.isinf(penalty.until)
    return PenaltyView(
        network=render_network(penalty.network, penalty.length),
        until=None if endless else services.clock.moment(penalty.until),
        retry_after=None if endless else max(0.0, penalty.until - services.clock.monotonic()),
        strikes=penalty.strikes,
        reason=penalty.reason,
        rule_id=penalty.rule_id,
    )
