# SPDX-License-Identifier: GPL-3.0-or-later
"""``/sessions``."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query, Response, status

from admin_api.dependencies import DryRun, ServicesOf, SessionsRead, SessionsWrite, Since, Until
from admin_api.http.dry_run import DRY_RUN, DryRunReport, dry_run_response
from admin_api.http.lists.paging import Page, PagingQuery, keyed
from admin_api.http.lists.sorting import sorted_page
from admin_api.http.path_segments import BY_SESSION_ID
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import NO_CONTROLS, Cidr, Ip
from admin_api.services import Services
from admin_api.sessions.listing import Wanted, count_live, find_live, list_live
from admin_api.sessions.schemas import LoginWaiting, SessionAccount, SessionLive, StatisticsView
from admin_api.store.accounting.sessions import AccountFilter
from vpn_frontend.ports import CloseReason, SessionState, WaitingLogin

router = resource_router("/sessions", tag="sessions")

SessionOrder = Literal[
    "id", "-id", "user", "-user", "started_at", "-started_at", "rx_bytes", "-rx_bytes", "tx_bytes", "-tx_bytes"
]
WAITING_KEYS: dict[str, Callable[[WaitingLogin], str | float]] = {
    "id": lambda login: login.id,
    "user": lambda login: login.user,
    "logged_in_at": lambda login: login.logged_in_at.timestamp(),
}
WaitingOrder = Literal["id", "-id", "user", "-user", "logged_in_at", "-logged_in_at"]
KILLED_TEXT = "Your session was ended by the administrator."

User = Annotated[str | None, Query(max_length=64, description="Only sessions of this user.", examples=["alice"])]
Why = Annotated[
    str, Query(max_length=200, pattern=NO_CONTROLS, description="Shown to the client.", examples=["Maintenance"])
]


@router.get("", responses=responses())
async def list_sessions(
    _: SessionsRead,
    services: ServicesOf,
    paging: PagingQuery,
    user: User = None,
    group: Annotated[str | None, Query(max_length=64, description="Only of members of this group.")] = None,
    network: Annotated[Cidr | None, Query(description="Only from sources inside this network.")] = None,
    state: Annotated[SessionState | None, Query(description="Only in this state.")] = None,
    transport: Annotated[str | None, Query(pattern="^(tls|dtls|none)$", description="Only over this one.")] = None,
    node: Annotated[str | None, Query(max_length=64, description="Only of this node of a fleet.")] = None,
    local: Annotated[bool, Query(description="Only of the server that is asked, whatever its fleet has.")] = False,
    sort: Annotated[SessionOrder, Query(description="`-`: falling.")] = "id",
) -> Page[SessionLive]:
    """List the live sessions, in a fleet of all nodes, by id or as ``sort`` says."""
    wanted = Wanted(user, group, network, state, transport, node, local)
    return await list_live(services, paging, wanted, sort)


@router.get("/history", responses=responses())
async def list_session_accounts(
    _: SessionsRead,
    services: ServicesOf,
    paging: PagingQuery,
    user: User = None,
    address: Annotated[Ip | None, Query(description="Only from this source.")] = None,
    end_reason: Annotated[CloseReason | None, Query(description="Only sessions that ended for this reason.")] = None,
    since: Since = None,
    until: Until = None,
    sort: Annotated[Literal["started_at", "-started_at"], Query(description="`-`: newest first.")] = "-started_at",
) -> Page[SessionAccount]:
    """List the accounting records of all sessions, newest first or as ``sort`` says.

    Live ones show the counters last written.

    ``since`` and ``until`` are about when a session started.
    """
    source = None if address is None else str(address)
    reason = None if end_reason is None else end_reason.value
    wanted = AccountFilter(user=user, address=source, end_reason=reason, since=since, until=until)
    async with services.store.read() as unit:
        rows = await unit.sessions.page(
            past=paging.past_number(sort), limit=paging.fetch, wanted=wanted, rising=sort == "started_at"
        )
    return paging.page(rows, SessionAccount.model_validate, lambda row: keyed(sort, row.serial))


@router.get("/waiting", responses=responses())
async def list_waiting_logins(
    _: SessionsRead,
    services: ServicesOf,
    paging: PagingQuery,
    user: User = None,
    sort: Annotated[WaitingOrder, Query(description="`-`: falling.")] = "id",
) -> Page[LoginWaiting]:
    """List the logins whose clients have not asked for a tunnel yet, by id or as ``sort`` says."""
    logins = (one for one in services.sessions.waiting_logins() if user is None or one.user == user)
    return sorted_page(paging, logins, sort, WAITING_KEYS, lambda login: login.id, LoginWaiting.model_validate)


@router.get("/statistics", responses=responses(ProblemKind.NOT_FOUND))
async def get_session_statistics(_: SessionsRead, services: ServicesOf) -> StatisticsView:
    """Get counts of logins and sessions: since the start, and of the present period."""
    statistics = services.sessions.statistics()
    if statistics is None:
        raise ApiError(ProblemKind.NOT_FOUND, "The VPN has not started")
    return StatisticsView.model_validate(statistics)


@router.delete("/statistics", status_code=status.HTTP_204_NO_CONTENT, responses=responses())
async def reset_session_statistics(caller: SessionsWrite, services: ServicesOf) -> None:
    """Begin another period of the statistics."""
    services.sessions.reset_statistics()
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "statistics_reset", "sessions")


@router.delete("", responses=responses())
async def delete_sessions(
    caller: SessionsWrite,
    services: ServicesOf,
    user: Annotated[str, Query(min_length=1, max_length=64, description="Whose sessions.", examples=["alice"])],
    reason: Why = "",
    dry_run: DryRun = False,
) -> DryRunReport:
    """Disconnect all sessions of a user, and tell the clients why. The user may log in again."""
    if dry_run:
        return DryRunReport(sessions_cut=await count_live(services, user))
    cut = services.sessions.kill_user(user, _text(reason))
    async with services.store.write() as unit:
        unit.changes.note("kill_user", user, text=_text(reason))
        await unit.changes.revoke(user)
        await unit.audit.add(caller.name, "sessions_killed", user, sessions=cut, **_facts(reason))
    return DryRunReport(sessions_cut=cut)


@router.get(BY_SESSION_ID, responses=responses(ProblemKind.NOT_FOUND))
async def get_session(session_id: str, _: SessionsRead, services: ServicesOf) -> SessionLive:
    """Get one live session, in a fleet also of another node."""
    found = await find_live(services, session_id)
    if found is None:
        raise _not_found(session_id)
    return found


@router.delete(
    BY_SESSION_ID,
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(ProblemKind.NOT_FOUND) | DRY_RUN,
)
async def delete_session(
    session_id: str,
    caller: SessionsWrite,
    services: ServicesOf,
    reason: Why = "",
    dry_run: DryRun = False,
    keep_cookie: Annotated[
        bool, Query(description="Let the client come back with its cookie, for the session's disconnect_grace.")
    ] = False,
) -> Response | None:
    """Disconnect a session and tell its client why, or end a login that waits. Its cookie becomes invalid.

    In a fleet also a session of another node, though without `keep_cookie`.
    """
    view = services.sessions.get(session_id) or _find_waiting(services, session_id)
    if view is None and services.fleet is not None and not keep_cookie:
        return await _end_elsewhere(services, caller.name, session_id, reason, dry_run=dry_run)
    if view is not None and dry_run:
        return dry_run_response(1)
    if view is None or not _end(services, session_id, _text(reason), keep_cookie=keep_cookie):
        raise _not_found(session_id)
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "session_killed", session_id, user=view.user, **_facts(reason))
    return None


async def _end_elsewhere(
    services: Services, by: str, session_id: str, reason: str, *, dry_run: bool
) -> Response | None:
    from admin_api.fleet.changes.accounts import end_elsewhere  # noqa: PLC0415 - nodes of a fleet alone need it

    async with services.store.write() as unit:
        user = await end_elsewhere(unit, session_id, None if dry_run else _text(reason))
        if user is None:
            raise _not_found(session_id)
        if not dry_run:
            await unit.audit.add(by, "session_killed", session_id, user=user, **_facts(reason))
    return dry_run_response(1) if dry_run else None


def _find_waiting(services: Services, login_id: str) -> WaitingLogin | None:
    return next((login for login in services.sessions.waiting_logins() if login.id == login_id), None)


def _end(services: Services, session_id: str, text: str, *, keep_cookie: bool) -> bool:
    if keep_cookie:
        return services.sessions.disconnect(session_id, text, services.clock.monotonic())
    return services.sessions.kill(session_id, text)


def _text(reason: str) -> str:
    return f"{KILLED_TEXT} {reason}" if reason else KILLED_TEXT


def _facts(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def _not_found(session_id: str) -> ApiError:
    return ApiError(ProblemKind.NOT_FOUND, f"There is no live session {session_id}")
