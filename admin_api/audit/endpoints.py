# SPDX-License-Identifier: GPL-3.0-or-later
"""``/audit``."""

from typing import Annotated

from fastapi import Query

from admin_api.audit.schemas import AuditView, ChainView
from admin_api.dependencies import AuditRead, NewestFirst, ServicesOf, Since, Until
from admin_api.http.lists.paging import Page, PagingQuery, keyed
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.store.audit import AuditFilter
from admin_api.store.tables import AuditEntry

router = resource_router("/audit", tag="audit")


@router.get("", responses=responses())
async def list_audit(
    _: AuditRead,
    services: ServicesOf,
    paging: PagingQuery,
    actor: Annotated[str | None, Query(max_length=128, description="Only changes by this caller.")] = None,
    action: Annotated[str | None, Query(max_length=64, description="Only changes of this kind.")] = None,
    target: Annotated[str | None, Query(max_length=256, description="Only changes of this object.")] = None,
    since: Since = None,
    until: Until = None,
    sort: NewestFirst = "-at",
) -> Page[AuditView]:
    """List changes, newest first or as ``sort`` says."""
    wanted = AuditFilter(actor=actor, action=action, target=target, since=since, until=until)
    async with services.store.read() as unit:
        rows = await unit.audit.page(
            past=paging.past_number(sort), limit=paging.fetch, wanted=wanted, rising=sort == "at"
        )
    return paging.page(rows, _show, lambda row: keyed(sort, row.serial))


@router.get("/verify", responses=responses())
async def verify_audit(_: AuditRead, services: ServicesOf) -> ChainView:
    """Verify the whole chain of digests, and report the first broken row."""
    async with services.store.read() as unit:
        broken = await unit.audit.first_broken()
    return ChainView(intact=broken is None, first_broken=broken)


def _show(row: AuditEntry) -> AuditView:
    return AuditView(
        serial=row.serial,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        detail=row.detail,
        digest=row.digest.hex(),
    )
