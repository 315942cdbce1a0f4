# SPDX-License-Identifier: GPL-3.0-or-later
"""``/fleet`` and ``/nodes``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Query, Response, status

from admin_api.dependencies import ServicesOf, SettingsWrite, StatusRead
from admin_api.fleet.membership.node_list import NodeRow, forget_rows, read_nodes, set_state
from admin_api.fleet.policy.answers import latest_proposal
from admin_api.fleet.policy.canaries import latest_canary
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import sorted_page
from admin_api.http.path_segments import BY_NODE_NAME
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.nodes.schemas import CanaryView, FleetView, NodeView, ProposalView
from admin_api.services import Services

if TYPE_CHECKING:
    from admin_api.fleet.node import FleetNode  # its module loads the driver of PostgreSQL

router = resource_router("", tag="fleet")

NodeOrder = Literal["name", "-name", "sessions", "-sessions", "behind", "-behind"]
SORT_KEYS: dict[str, Callable[[NodeRow], str | float]] = {
    "name": lambda node: node.name,
    "sessions": lambda node: node.sessions,
    "behind": lambda node: node.behind,
}


@router.get("/fleet", responses=responses(ProblemKind.NOT_FOUND))
async def get_fleet(_: StatusRead, services: ServicesOf) -> FleetView:
    """Get the fleet as this node sees it. 404: this server is no node of a fleet."""
    fleet = _fleet_of(services)
    settings, membership = fleet.settings, fleet.membership
    nodes = await read_nodes(services.store, settings.dead_after)
    live = [node for node in nodes if node.is_live]
    proposal = await latest_proposal(services.store)
    canary = await latest_canary(services.store, settings.dead_after)
    newest = fleet.changes.revision if membership.answer is None else membership.answer.revision
    return FleetView(
        node=settings.name,
        state=membership.state.value,
        problem=membership.problem,
        revision=newest,
        applied=fleet.changes.revision,
        unknown_changes=fleet.changes.unknown,
        nodes=len(live),
        known=len(nodes),
        sessions=sum(node.sessions for node in live),
        proposal=None if proposal is None else ProposalView.model_validate(proposal),
        canary=None if canary is None else CanaryView.model_validate(canary),
        dead_after=settings.dead_after,
        addresses=settings.addresses,
        on_store_loss=settings.on_store_loss,
        in_split=settings.in_split,
    )


@router.get("/nodes", responses=responses(ProblemKind.NOT_FOUND))
async def list_nodes(
    _: StatusRead,
    services: ServicesOf,
    paging: PagingQuery,
    sort: Annotated[NodeOrder, Query(description="`-`: falling.")] = "name",
) -> Page[NodeView]:
    """List the nodes of the fleet by name, those that left or are dead too. 404: this server is no node of a fleet."""
    fleet = _fleet_of(services)
    nodes = await read_nodes(services.store, fleet.settings.dead_after)
    return sorted_page(paging, nodes, sort, SORT_KEYS, lambda node: node.name, lambda node: _show(fleet, node))


@router.get(f"/nodes{BY_NODE_NAME}", responses=responses(ProblemKind.NOT_FOUND))
async def get_node(name: str, _: StatusRead, services: ServicesOf) -> NodeView:
    """Get one node."""
    fleet = _fleet_of(services)
    return _show(fleet, await _find(services, fleet, name))


@router.post(f"/nodes{BY_NODE_NAME}:drain", responses=responses(ProblemKind.NOT_FOUND))
async def drain_node(name: str, caller: SettingsWrite, services: ServicesOf) -> NodeView:
    """Have a node take no new sessions, and not be ready, so that clients go elsewhere. It stays so over restarts."""
    return await _set_state(services, name, "draining", caller.name)


@router.post(f"/nodes{BY_NODE_NAME}:resume", responses=responses(ProblemKind.NOT_FOUND))
async def resume_node(name: str, caller: SettingsWrite, services: ServicesOf) -> NodeView:
    """End the draining of a node."""
    return await _set_state(services, name, "active", caller.name)


@router.delete(
    f"/nodes{BY_NODE_NAME}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND, ProblemKind.NODE_IS_LIVE),
)
async def forget_node(name: str, caller: SettingsWrite, services: ServicesOf) -> Response | None:
    """Forget a node that has left or is dead, with its sessions and addresses. It may join again as a new one."""
    fleet = _fleet_of(services)
    async with services.store.write() as unit:
        done = await forget_rows(unit, name, fleet.settings.dead_after)
        if done == "forgotten":
            await unit.audit.add(caller.name, "node_forgotten", name)
    if done == "unknown":
        raise _not_found(name)
    if done == "live":
        raise ApiError(ProblemKind.NODE_IS_LIVE, f"{name} is heard, or was a moment ago: stop it first")
    return None


async def _set_state(services: Services, name: str, state: str, by: str) -> NodeView:
    fleet = _fleet_of(services)
    async with services.store.write() as unit:
        if not await set_state(unit, name, state):
            raise _not_found(name)
        await unit.audit.add(by, "node_drained" if state == "draining" else "node_resumed", name)
    return _show(fleet, await _find(services, fleet, name))


async def _find(services: Services, fleet: "FleetNode", name: str) -> NodeRow:
    nodes = await read_nodes(services.store, fleet.settings.dead_after)
    found = next((node for node in nodes if node.name == name), None)
    if found is None:
        raise _not_found(name)
    return found


def _fleet_of(services: Services) -> "FleetNode":
    if services.fleet is None:
        raise ApiError(ProblemKind.NOT_FOUND, "This server is no node of a fleet: [fleet] is not configured")
    return services.fleet


def _show(fleet: "FleetNode", node: NodeRow) -> NodeView:
    return NodeView(
        name=node.name,
        state=node.state,
        this=node.name == fleet.settings.name,
        version=node.version,
        epoch=node.epoch,
        joined_at=node.joined_at,
        silence=node.silence,
        applied=node.applied,
        behind=node.behind,
        sessions=node.sessions,
        policy_version=node.policy_version,
        rule_files=node.rule_files,
        peer_url=node.peer_url,
    )


def _not_found(name: str) -> ApiError:
    return ApiError(ProblemKind.NOT_FOUND, f"There is no node {name} that serves; GET /nodes lists all")
