# SPDX-License-Identifier: GPL-3.0-or-later
"""``/blocks``."""

from functools import partial
from ipaddress import ip_network
from typing import Annotated, Literal

from fastapi import Query, Response, status
from fastapi.responses import JSONResponse

from admin_api.blocks.schemas import BlockCreate, BlockCreated, BlockRemoved, BlockView, show_block
from admin_api.dependencies import BlocksRead, BlocksWrite, DryRun, Force, OwnAddresses, ServicesOf
from admin_api.http.dry_run import DryRunReport, dry_run_response
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.path_segments import BY_BLOCK_ID
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Cidr, Ip
from vpn_frontend.settings import Address, Network

router = resource_router("/blocks", tag="blocks")


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(
        ProblemKind.SELF_LOCKOUT, ProblemKind.NEEDS_FORCE, ProblemKind.NEVER_BLOCKED, ProblemKind.TABLE_FULL
    )
    | {200: {"model": BlockCreated, "description": "A dry run, or the network was blocked already"}},
)
async def create_block(
    body: BlockCreate,
    caller: BlocksWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    dry_run: DryRun = False,
    force: Force = False,
    wait: Annotated[Literal["all"] | None, Query(description="Answer once all nodes of the fleet enforce it.")] = None,
    timeout: Annotated[  # noqa: ASYNC109 - of the wait alone
        float, Query(gt=0, le=10, description="Seconds of that wait, at most.", examples=[1])
    ] = 1.0,
) -> BlockCreated:
    """Block a network. Before the answer, the block is in force and live sessions from the network are disconnected.

    A network that is blocked already keeps its block; the later of the two ends applies. A block of your own address,
    of a network wider than an IPv4 /8 or an IPv6 /19, or of more than 20 sessions needs force. If the database
    cannot be written, the block is in force without it, and ``stored`` is false.

    In a fleet the other nodes follow within milliseconds; with ``wait=all`` the answer says on how many it is in force.
    """
    report = await services.enforcement.add_block(
        body.cidr,
        body.reason,
        body.ttl,
        caller.name,
        dry_run=dry_run,
        force=force,
        own=own,
    )
    if report.created:
        response.headers["Location"] = f"{API_PREFIX}/blocks/{report.id}"
    else:
        response.status_code = status.HTTP_200_OK
    created = BlockCreated.model_validate(report)
    if wait is not None and not dry_run:
        fleet = services.fleet
        there = (1, 1) if fleet is None else await fleet.wait_applied(services.store.published, timeout)
        created.applied = list(there)
    return created


@router.get("", responses=responses())
async def list_blocks(
    _: BlocksRead,
    services: ServicesOf,
    paging: PagingQuery,
    covers: Annotated[Ip | None, Query(description="Only blocks that cover this address.")] = None,
    cidr: Annotated[Cidr | None, Query(description="Only the block of exactly this network.")] = None,
    sort: Annotated[Literal["created_at", "-created_at"], Query(description="`-`: newest first.")] = "created_at",
) -> Page[BlockView]:
    """List the blocks in force, oldest first."""
    falling = sort.startswith("-")
    blocks = services.enforcement.blocks
    if covers is None and cidr is None:
        found = blocks.page(after=paging.after, limit=paging.fetch, falling=falling)
    else:
        found = blocks.of_networks(_networks(covers, cidr))
        found = found[::-1] if falling else found
    return paging.page(found, partial(show_block, blocks), lambda entry: entry.id)


@router.get(BY_BLOCK_ID, responses=responses(ProblemKind.NOT_FOUND))
async def get_block(block_id: str, _: BlocksRead, services: ServicesOf) -> BlockView:
    """Get one block in force."""
    blocks = services.enforcement.blocks
    entry = blocks.get(block_id)
    if entry is None:
        raise _not_found(block_id)
    return show_block(blocks, entry)


@router.delete(
    BY_BLOCK_ID,
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND)
    | {200: {"model": DryRunReport | BlockRemoved, "description": "A dry run, or the database could not be written"}},
)
async def delete_block(
    block_id: str, caller: BlocksWrite, services: ServicesOf, dry_run: DryRun = False
) -> Response | None:
    """Remove a block. The network is accepted again before the answer.

    If the database cannot be written, the answer is 200 with ``stored`` false: the row is removed when it can be.
    """
    if dry_run:
        await get_block(block_id, caller, services)
        return dry_run_response(0)
    removed = await services.enforcement.remove_block(block_id, caller.name)
    if removed is None:
        raise _not_found(block_id)
    return None if removed.stored else JSONResponse(BlockRemoved.model_validate(removed).model_dump(mode="json"))


def _networks(covers: Address | None, cidr: Network | None) -> list[str]:
    """Returns the CIDR texts of the networks that cover ``covers`` and equal ``cidr``, as far as given."""
    covering = (
        set() if covers is None else {str(ip_network(covers).supernet(n)) for n in range(covers.max_prefixlen + 1)}
    )
    exact = set() if cidr is None else {str(cidr)}
    return sorted(covering & exact if covering and exact else covering | exact)


def _not_found(block_id: str) -> ApiError:
    return ApiError(ProblemKind.NOT_FOUND, f"There is no block {block_id}")
