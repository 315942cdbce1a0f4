# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users``."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from admin_api.dependencies import DryRun, ServicesOf, UsersRead, UsersWrite
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.paging import Page, PagingQuery
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.services import Services
from admin_api.users import service
from admin_api.users.schemas import UserChanged, UserCreate, UserImport, UserReplace, UsersImported, UserView

router = APIRouter(prefix="/users", tags=["users"])


@router.post(
    "", status_code=status.HTTP_201_CREATED, responses=responses(ProblemKind.ALREADY_EXISTS, ProblemKind.ADDRESS_TAKEN)
)
async def create_user(body: UserCreate, caller: UsersWrite, services: ServicesOf, response: Response) -> UserView:
    """Add a user, with a password or a password hash."""
    user = await service.create_user(services.store, body, by=caller.name)
    response.headers["Location"] = f"{API_PREFIX}/users/{user.name}"
    return UserView.model_validate(user)


@router.post("/import", responses=responses(ProblemKind.ALREADY_EXISTS, ProblemKind.ADDRESS_TAKEN))
async def import_users(body: UserImport, caller: UsersWrite, services: ServicesOf) -> UsersImported:
    """Add many users: either all or none."""
    users = await service.create_users(services.store, body.users, by=caller.name)
    return UsersImported(created=len(users))


@router.get("", responses=responses())
async def list_users(
    _: UsersRead,
    services: ServicesOf,
    paging: PagingQuery,
    group: Annotated[str | None, Query(max_length=64)] = None,
) -> Page[UserView]:
    """List the users, by name."""
    async with services.store.read() as unit:
        rows = await unit.users.page(after=paging.after, limit=paging.fetch, group=group)
    return paging.page(rows, UserView.model_validate, lambda row: row.key)


@router.get("/{name}", responses=responses(ProblemKind.NOT_FOUND))
async def get_user(name: str, _: UsersRead, services: ServicesOf) -> UserView:
    """Get one user. Names are compared without regard to case."""
    async with services.store.read() as unit:
        user = await unit.users.get(name)
    if user is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no user {name}")
    return UserView.model_validate(user)


@router.put("/{name}", responses=responses(ProblemKind.NOT_FOUND, ProblemKind.ADDRESS_TAKEN))
async def replace_user(
    name: str, body: UserReplace, caller: UsersWrite, services: ServicesOf, dry_run: DryRun = False
) -> UserChanged:
    """Replace everything but the name. A user who may no longer connect is disconnected before the answer.

    A new password disconnects the user too: the old one may be stolen.
    """
    user = await service.replace_user(services.store, name, body, by=caller.name, dry_run=dry_run)
    expired = user.expires_at is not None and user.expires_at <= services.clock.wall()
    new_password = body.password is not None or body.password_hash is not None
    disconnect = _count_sessions if dry_run else _disconnect
    cut = disconnect(services, user.name) if expired or new_password or not user.enabled else 0
    return UserChanged(**UserView.model_validate(user).model_dump(), sessions_cut=cut)


@router.delete(
    "/{name}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND) | DRY_RUN,
)
async def delete_user(name: str, caller: UsersWrite, services: ServicesOf, dry_run: DryRun = False) -> Response | None:
    """Remove a user and disconnect the user's sessions."""
    if dry_run:
        return dry_run_response(_count_sessions(services, (await get_user(name, caller, services)).name))
    user = await service.remove_user(services.store, name, by=caller.name)
    _disconnect(services, user.name)
    services.engine.detectors.forget_user(user.name)
    return None


def _count_sessions(services: Services, name: str) -> int:
    return sum(view.user == name for view in services.sessions.list())


def _disconnect(services: Services, name: str) -> int:
    return services.sessions.kill_user(name, "This account was changed by the administrator.")
