# SPDX-License-Identifier: GPL-3.0-or-later
"""``/groups``.

A group made over the API overrides the group of the same name in the configuration, key by key. Changing one needs
If-Match with its ETag.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Query, Response, status

from admin_api.dependencies import DryRun, ServicesOf, UsersRead, UsersWrite
from admin_api.groups import service
from admin_api.groups.schemas import GroupChanged, GroupCreate, GroupDetail, GroupReplace, GroupView
from admin_api.groups.service import GroupResult, etag_of_group, view_file_group, view_group
from admin_api.http.conditions import CONDITIONAL, IfMatch, MergePatch, apply_merge_patch, validate_document
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import sorted_page
from admin_api.http.path_segments import BY_NAME
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.services import Services
from admin_api.store.tables import Group

router = resource_router("/groups", tag="groups")
CHANGING = (*CONDITIONAL, ProblemKind.FROM_FILE)

GroupOrder = Literal["name", "-name", "members", "-members"]
SORT_KEYS: dict[str, Callable[[GroupView], str | float]] = {
    "name": lambda group: group.name,
    "members": lambda group: group.members,
}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(ProblemKind.ALREADY_EXISTS, ProblemKind.TABLE_FULL)
    | {200: {"model": GroupChanged, "description": "A dry run: nothing changed"}},
)
async def create_group(
    body: GroupCreate, caller: UsersWrite, services: ServicesOf, response: Response, dry_run: DryRun = False
) -> GroupChanged:
    """Add a group. Live sessions of its members have what it sets before the answer, as far as they can."""
    result = await service.create_group(services, body, by=caller.name, dry_run=dry_run)
    if dry_run:
        response.status_code = status.HTTP_200_OK
    else:
        response.headers["Location"] = f"{API_PREFIX}/groups/{quote(body.name, safe='')}"
    return await _show_changed(services, result, response)


@router.get("", responses=responses())
async def list_groups(
    _: UsersRead,
    services: ServicesOf,
    paging: PagingQuery,
    source: Annotated[Literal["api", "file"] | None, Query(description="Only those of this source.")] = None,
    sort: Annotated[GroupOrder, Query(description="`-`: falling.")] = "name",
) -> Page[GroupView]:
    """List the groups of the API and of the configuration, by name or as ``sort`` says."""
    async with services.store.read() as unit:
        rows = {group.name: group for group in await unit.groups.read_all()}
        members = await unit.groups.count_members()
    files = services.settings.file_groups()
    shown = (
        view_group(rows[name], members.get(name, 0))
        if name in rows
        else view_file_group(services, name, members.get(name, 0))
        for name in {*rows, *files}
    )
    found = (view for view in shown if source is None or view.source == source)
    return sorted_page(paging, found, sort, SORT_KEYS, lambda view: view.name, lambda view: view)


@router.get(BY_NAME, responses=responses(ProblemKind.NOT_FOUND))
async def get_group(name: str, _: UsersRead, services: ServicesOf, response: Response) -> GroupDetail:
    """Get one group with its ETag, and what its members get."""
    async with services.store.read() as unit:
        group = await unit.groups.get(name)
        members = (await unit.groups.count_members()).get(name, 0)
    if group is not None:
        response.headers["ETag"] = etag_of_group(group)
        return _add_effective(services, view_group(group, members))
    if name not in services.settings.file_groups():
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no group {name}")
    return _add_effective(services, view_file_group(services, name, members))


@router.put(BY_NAME, responses=responses(*CHANGING))
async def replace_group(
    name: str,
    body: GroupReplace,
    caller: UsersWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> GroupChanged:
    """Replace everything but the name. Needs If-Match. Members whom it refuses are disconnected before the answer."""
    result = await service.change_group(
        services, name, lambda _: body, if_match=if_match, by=caller.name, dry_run=dry_run
    )
    return await _show_changed(services, result, response)


@router.patch(BY_NAME, responses=responses(*CHANGING))
async def change_group(
    name: str,
    patch: MergePatch,
    caller: UsersWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> GroupChanged:
    """Change what the merge patch names. Needs If-Match."""

    def merge(group: Group) -> GroupReplace:
        present: dict[str, Any] = {"label": group.label, "note": group.note, "settings": group.settings}
        return validate_document(GroupReplace, apply_merge_patch(present, patch))

    result = await service.change_group(services, name, merge, if_match=if_match, by=caller.name, dry_run=dry_run)
    return await _show_changed(services, result, response)


@router.delete(
    BY_NAME,
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(*CHANGING) | DRY_RUN,
)
async def delete_group(
    name: str, caller: UsersWrite, services: ServicesOf, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response | None:
    """Remove a group. Its members keep the membership. Needs If-Match."""
    result = await service.remove_group(services, name, if_match=if_match, by=caller.name, dry_run=dry_run)
    return dry_run_response(result.sessions_cut) if dry_run else None


async def _show_changed(services: Services, result: GroupResult, response: Response) -> GroupChanged:
    group = result.group
    assert group is not None  # noqa: S101 - only a removal has none
    async with services.store.read() as unit:
        members = (await unit.groups.count_members()).get(group.name, 0)
    response.headers["ETag"] = etag_of_group(group)
    detail = _add_effective(services, view_group(group, members))
    return GroupChanged(
        **detail.model_dump(),
        sessions_cut=result.sessions_cut,
        in_force=result.keys.now,
        at_next_login=result.keys.at_next_login,
    )


def _add_effective(services: Services, view: GroupView) -> GroupDetail:
    return GroupDetail(**view.model_dump(), effective=service.show_effective_of_group(services, view.name))
