# SPDX-License-Identifier: GPL-3.0-or-later
"""``/penalties``."""

import math
from collections.abc import Callable
from ipaddress import ip_network
from typing import Annotated, Literal

from fastapi import Query

from admin_api.dependencies import PenaltiesRead, PenaltiesWrite, ServicesOf
from admin_api.http.paging import Page, PagingQuery
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.http.sorting import LAST, sorted_page
from admin_api.http.values import Cidr
from admin_api.penalties.schemas import Forgiven, PenaltyView
from admin_api.services import Services
from sentry_engine import Penalty, Reason
from sentry_engine.addresses import render_network
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


@router.delete("", responses=responses())
async def delete_penalties(
    caller: PenaltiesWrite,
    services: ServicesOf,
    network: Annotated[Cidr | None, Query(description="Only sources inside this network.")] = None,
    dry_run: Annotated[bool, Query(description="Change nothing; return how many penalties would end.")] = False,
) -> Forgiven:
    """End penalties, and clear the strikes and events that led to them."""
    if dry_run:
        return Forgiven(forgiven=sum(_concerns(penalty, network) for penalty in services.engine.penalties()))
    networks = ["0.0.0.0/0", "::/0"] if network is None else [str(network)]
    forgiven = sum(services.engine.clear_penalties(one) for one in networks)
    await services.kernel.lift()
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "penalties_forgiven", " ".join(networks), forgiven=forgiven)
    return Forgiven(forgiven=forgiven)


def _concerns(penalty: Penalty, network: Network | None) -> bool:
    if network is None:
        return True
    source = ip_network(render_network(penalty.network, penalty.length))
    return source.version == network.version and source.overlaps(network)


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
