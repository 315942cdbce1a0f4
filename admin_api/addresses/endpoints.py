# SPDX-License-Identifier: GPL-3.0-or-later
"""``/addresses``."""

from dataclasses import asdict
from ipaddress import ip_network
from itertools import islice

from admin_api.addresses.schemas import AddressView, LocationView
from admin_api.blocks.schemas import show_block
from admin_api.dependencies import AddressesRead, ServicesOf
from admin_api.events.schemas import show_event
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Ip
from admin_api.penalties.endpoints import show_penalty
from admin_api.policy.endpoints import explain
from admin_api.services import Services
from admin_api.sessions.schemas import SessionAccount, SessionLive
from sentry_engine import Penalty
from sentry_engine.addresses import contains, pack_address
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION
from vpn_frontend.settings import Address

router = resource_router("/addresses", tag="addresses")

MAX_LATEST = 20  # sessions and verdicts in one answer


@router.get("/{address}", responses=responses())
async def get_address(address: Ip, _: AddressesRead, services: ServicesOf) -> AddressView:
    """Get all about one address: verdict, walk, penalty, blocks, sessions, history, latest verdicts and place."""
    async with services.store.read() as unit:
        history = await unit.sessions.from_address(str(address), MAX_LATEST)
    blocks = services.enforcement.blocks
    covering = [str(ip_network(address).supernet(new_prefix=n)) for n in range(address.max_prefixlen + 1)]
    sessions = [view for view in services.sessions.list() if address in (view.address, view.ipv4, view.ipv6)]
    decided = (event for event in services.events.decisions() if str(event.get("address")) == str(address))
    penalty = _penalty_of(services, address)
    lookup = services.engine.policy.geo_lookup
    place = UNKNOWN_LOCATION if lookup is None else lookup.find(str(address))
    return AddressView(
        explanation=explain(services, address),
        place=LocationView.model_validate(asdict(place) | {"anonymizers": sorted(place.anonymizers)}),
        penalty=None if penalty is None else show_penalty(services, penalty),
        blocks=[show_block(blocks, entry) for entry in blocks.of_networks(covering)],
        sessions=[SessionLive.model_validate(view) for view in sessions],
        history=[SessionAccount.model_validate(row) for row in history],
        decisions=[show_event(event) for event in islice(decided, MAX_LATEST)],
    )


def _penalty_of(services: Services, address: Address) -> Penalty | None:
    """Returns the most specific penalty that covers the address."""
    packed = pack_address(address)
    found = [one for one in services.engine.penalties() if contains(one.network, one.length, packed)]
    return max(found, key=lambda one: one.length, default=None)
