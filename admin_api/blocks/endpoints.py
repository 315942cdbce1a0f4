# SPDX-License-Identifier: GPL-3.0-or-later
"""``/blocks``."""

from ipaddress import ip_network
from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from admin_api.blocks.schemas import BlockCreate, BlockCreated, BlockView
from admin_api.dependencies import BlocksRead, BlocksWrite, CallerAddress, DryRun, Force, Protect, ServicesOf
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.paging import Page, PagingQuery
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.values import Cidr, Ip
from vpn_frontend.settings import Address, Network

router = APIRouter(prefix="/blocks", tags=["blocks"])


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
    address: CallerAddress,
    response: Response,
    dry_run: DryRun = False,
    force: Force = False,
    protect: Protect = [],  # noqa: B006 - FastAPI copies it
) -> BlockCreated:
    """Block a network. Before the answer, the block is in force and live sessions from the network are disconnected.

    A network that is blocked already keeps its block; the later of the two ends applies. A block of your own address,
    of a network wider than an IPv4 /8 or an IPv6 /19, or of more than 20 sessions needs force.
    """
    report = await services.enforcement.add_block(
        body.cidr,
        body.reason,
        body.ttl,
        caller.name,
        dry_run=dry_run,
        force=force,
        own=protect if address is None else [address, *protect],
    )
    if report.created:
        response.headers["Location"] = f"{API_PREFIX}/blocks/{report.id}"
    else:
        response.status_code = status.HTTP_200_OK
    return BlockCreated.model_validate(report)


@router.get("", responses=responses())
async def list_blocks(
    _: BlocksRead,
    services: ServicesOf,
    paging: PagingQuery,
    covers: Annotated[Ip | None, Query(description="Only blocks that cover this address.")] = None,
    cidr: Annotated[Cidr | None, Query(description="Only the block of exactly this network.")] = None,
) -> Page[BlockView]:
    """List the blocks in force, oldest first."""
    async with services.store.read() as unit:
        if covers is None and cidr is None:
            rows = await unit.blocks.page(after=paging.after, limit=paging.fetch)
        else:
            rows = await unit.blocks.of_networks(_networks(covers, cidr))
    return paging.page(rows, BlockView.model_validate, lambda row: row.id)


@router.get("/{block_id}", responses=responses(ProblemKind.NOT_FOUND))
async def get_block(block_id: str, _: BlocksRead, services: ServicesOf) -> BlockView:
    """Get one block in force."""
    async with services.store.read() as unit:
        block = await unit.blocks.get(block_id)
    if block is None or (block.expires_at is not None and block.expires_at <= services.clock.wall()):
        raise _not_found(block_id)
    return BlockView.model_validate(block)


@router.delete(
    "/{block_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND) | DRY_RUN,
)
async def delete_block(
    block_id: str, caller: BlocksWrite, services: ServicesOf, dry_run: DryRun = False
) -> Response | None:
    """Remove a block. The network is accepted again before the answer."""
    if dry_run:
        await get_block(block_id, caller, services)
        return dry_run_response(0)
    if not await services.enforcement.remove_block(block_id, caller.name):
        raise _not_found(block_id)
    return None


def _networks(covers: Address | None, cidr: Network | None) -> list[str]:
    """Returns the CIDR texts of the networks that cover ``covers`` and equal ``cidr``, as far as given."""
    covering = (
        set() if covers is None else {str(ip_network(covers).supernet(n)) for n in range(covers.max_prefixlen + 1)}
    )
    exact = set() if cidr is None else {str(cidr)}
    return sorted(covering & exact if covering and exact else covering | exact)


def _not_found(block_id: str) -> ApiError:
    return ApiError(ProblemKind.NOT_FOUND, f"There is no block {block_id}")
