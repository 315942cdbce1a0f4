# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users``."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Query, Response, status

from admin_api.dependencies import DryRun, ServicesOf, UsersRead, UsersWrite
from admin_api.groups.service import check_pools
from admin_api.http.conditions import CONDITIONAL, IfMatch, MergePatch, apply_merge_patch, validate_document
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.path_segments import BY_NAME
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.services import Services
from admin_api.session_settings.effective import show_effective, split_changed
from admin_api.session_settings.overrides import render_user_settings
from admin_api.sessions.listing import count_here, count_live, count_on_others
from admin_api.store.failures import is_unavailable
from admin_api.store.identities.users import as_record
from admin_api.store.tables import User
from admin_api.users import service
from admin_api.users.schemas import (
    UserChanged,
    UserCreate,
    UserDetail,
    UserImport,
    UserReplace,
    UsersImported,
    UserView,
)
from admin_api.users.service import UserChange

router = resource_router("/users", tag="users")
WRITABLE = {"groups", "enabled", "max_same_clients", "ipv4", "ipv6", "expires_at", "note", "settings"}


@router.post(
    "", status_code=status.HTTP_201_CREATED, responses=responses(ProblemKind.ALREADY_EXISTS, ProblemKind.ADDRESS_TAKEN)
)
async def create_user(body: UserCreate, caller: UsersWrite, services: ServicesOf, response: Response) -> UserView:
    """Add a user, with a password or a password hash."""
    check_pools(services, render_user_settings(body.settings))
    user = await service.create_user(services.store, body, by=caller.name)
    response.headers["Location"] = f"{API_PREFIX}/users/{quote(user.name, safe='')}"
    response.headers["ETag"] = service.etag_of_user(user)
    return UserView.model_validate(user)


@router.post("/import", responses=responses(ProblemKind.ALREADY_EXISTS, ProblemKind.ADDRESS_TAKEN))
async def import_users(body: UserImport, caller: UsersWrite, services: ServicesOf) -> UsersImported:
    """Add many users: either all or none."""
    for user in body.users:
        check_pools(services, render_user_settings(user.settings))
    created = await service.create_users(services.store, body.users, by=caller.name)
    return UsersImported(created=len(created))


@router.get("", responses=responses())
async def list_users(
    _: UsersRead,
    services: ServicesOf,
    paging: PagingQuery,
    group: Annotated[str | None, Query(max_length=64, description="Only members of this group.")] = None,
    enabled: Annotated[bool | None, Query(description="Only users that may, or may not, log in.")] = None,
    sort: Annotated[Literal["name", "-name"], Query(description="`-`: falling.")] = "name",
) -> Page[UserView]:
    """List the users, by name."""
    falling = sort.startswith("-")
    async with services.store.read() as unit:
        rows = await unit.users.page(
            after=paging.after, limit=paging.fetch, group=group, enabled=enabled, falling=falling
        )
    return paging.page(rows, UserView.model_validate, lambda row: row.key)


@router.get(BY_NAME, responses=responses(ProblemKind.NOT_FOUND))
async def get_user(name: str, _: UsersRead, services: ServicesOf, response: Response) -> UserDetail:
    """Get one user with its ETag, and what the user gets. Names are compared without regard to case."""
    async with services.store.read() as unit:
        user = await unit.users.get(name)
    if user is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no user {name}")
    response.headers["ETag"] = service.etag_of_user(user)
    return _add_effective(services, user)


@router.put(BY_NAME, responses=responses(*CONDITIONAL, ProblemKind.ADDRESS_TAKEN))
async def replace_user(
    name: str,
    body: UserReplace,
    caller: UsersWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> UserChanged:
    """Replace everything but the name. Needs If-Match.

    Sessions that the user may no longer have are disconnected before the answer, for a new password all of them: the
    old one may be stolen.
    """
    check_pools(services, render_user_settings(body.settings))
    change = await service.replace_user(
        services.store, name, lambda _: body, if_match=if_match, by=caller.name, dry_run=dry_run
    )
    return await _show_changed(services, change, response, dry_run=dry_run)


@router.patch(BY_NAME, responses=responses(*CONDITIONAL, ProblemKind.ADDRESS_TAKEN))
async def change_user(
    name: str,
    patch: MergePatch,
    caller: UsersWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> UserChanged:
    """Change what the merge patch names, with the effects of PUT. Needs If-Match."""

    def merge(user: User) -> UserReplace:
        present = UserView.model_validate(user).model_dump(mode="json", include=WRITABLE)
        body = validate_document(UserReplace, apply_merge_patch(present, patch))
        check_pools(services, render_user_settings(body.settings))
        return body

    change = await service.replace_user(services.store, name, merge, if_match=if_match, by=caller.name, dry_run=dry_run)
    return await _show_changed(services, change, response, dry_run=dry_run)


@router.delete(
    BY_NAME,
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(*CONDITIONAL) | DRY_RUN,
)
async def delete_user(
    name: str, caller: UsersWrite, services: ServicesOf, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response | None:
    """Remove a user and disconnect the user's sessions. Needs If-Match."""
    if dry_run:
        async with services.store.read() as unit:
            user = await service.get_user(unit, name, if_match)
        return dry_run_response(await count_live(services, user.name))
    user = await service.remove_user(services.store, name, if_match=if_match, by=caller.name)
    _disconnect(services, user.name)
    services.engine.detectors.forget_user(user.name)
    return None


async def _show_changed(services: Services, change: UserChange, response: Response, *, dry_run: bool) -> UserChanged:
    """Apply the change to live sessions, and show it."""
    before, after = change.before, change.after
    expired = after.expires_at is not None and after.expires_at <= services.clock.wall()
    if expired or change.new_password or not after.enabled:
        cut = count_here(services, after.name) if dry_run else _disconnect(services, after.name)
        cut += await _count_elsewhere(services, after.name, dry_run=dry_run)
    else:
        cut = len(services.sessions.change_user(before, after, dry_run=dry_run))
    resolve = services.settings.resolve
    keys = split_changed(resolve(after, after.groups).changed_keys(resolve(before, before.groups)))
    response.headers["ETag"] = service.etag_of_user(change.user)
    detail = _add_effective(services, change.user)
    return UserChanged(**detail.model_dump(), sessions_cut=cut, in_force=keys.now, at_next_login=keys.at_next_login)


async def _count_elsewhere(services: Services, name: str, *, dry_run: bool) -> int:
    """How many sessions the other nodes have. 0 if the database cannot say, and the user has changed already."""
    try:
        return await count_on_others(services, name)
    except Exception as error:
        if dry_run or not is_unavailable(error):
            raise
        return 0


def _add_effective(services: Services, user: User) -> UserDetail:
    settings = services.settings.resolve(as_record(user), user.groups)
    return UserDetail(**UserView.model_validate(user).model_dump(), effective=show_effective(settings))


def _disconnect(services: Services, name: str) -> int:
    return services.sessions.kill_user(name, "This account was changed by the administrator.")
