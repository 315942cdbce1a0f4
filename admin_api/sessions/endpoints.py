# SPDX-License-Identifier: GPL-3.0-or-later
"""``/sessions``."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from admin_api.dependencies import DryRun, ServicesOf, SessionsRead, SessionsWrite
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.paging import Page, PagingQuery
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.sessions.schemas import SessionAccount, SessionLive

router = APIRouter(prefix="/sessions", tags=["sessions"])

KILLED_TEXT = "Your session was ended by the administrator."

User = Annotated[str | None, Query(max_length=64)]


@router.get("", responses=responses())
async def list_sessions(
    _: SessionsRead, services: ServicesOf, paging: PagingQuery, user: User = None
) -> Page[SessionLive]:
    """List the live sessions, by id."""
    views = (view for view in services.sessions.list() if user is None or view.user == user)
    behind = sorted(
        (view for view in views if paging.after is None or view.id > paging.after), key=lambda view: view.id
    )
    return paging.page(behind[: paging.fetch], SessionLive.model_validate, lambda view: view.id)


@router.get("/history", responses=responses())
async def list_session_accounts(
    _: SessionsRead, services: ServicesOf, paging: PagingQuery, user: User = None
) -> Page[SessionAccount]:
    """List the accounting records of all sessions, newest first. Live ones show the counters last written."""
    async with services.store.read() as unit:
        rows = await unit.sessions.page(before=paging.before, limit=paging.fetch, user=user)
    return paging.page(rows, SessionAccount.model_validate, lambda row: str(row.serial))


@router.get("/{session_id}", responses=responses(ProblemKind.NOT_FOUND))
async def get_session(session_id: str, _: SessionsRead, services: ServicesOf) -> SessionLive:
    """Get one live session."""
    view = services.sessions.get(session_id)
    if view is None:
        raise _not_found(session_id)
    return SessionLive.model_validate(view)


@router.delete(
    "/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND) | DRY_RUN,
)
async def delete_session(
    session_id: str, caller: SessionsWrite, services: ServicesOf, dry_run: DryRun = False
) -> Response | None:
    """Disconnect a session. Its cookie becomes invalid; the user may log in again."""
    view = services.sessions.get(session_id)
    if view is not None and dry_run:
        return dry_run_response(1)
    if view is None or not services.sessions.kill(session_id, KILLED_TEXT):
        raise _not_found(session_id)
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "session_killed", session_id, user=view.user)
    return None


def _not_found(session_id: str) -> ApiError:
    return ApiError(ProblemKind.NOT_FOUND, f"There is no live session {session_id}")
