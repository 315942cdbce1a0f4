# SPDX-License-Identifier: GPL-3.0-or-later
"""``/operations``."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import Query, status

from admin_api.dependencies import Caller, ServicesOf
from admin_api.http.identity import Principal, Scope
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import moment, sorted_page
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.long_operations import Operation, OperationState
from admin_api.operations.schemas import OperationView
from admin_api.services import Services

router = resource_router("/operations", tag="operations")

OperationOrder = Literal["created_at", "-created_at", "finished_at", "-finished_at", "kind", "-kind"]
SORT_KEYS: dict[str, Callable[[Operation], str | float]] = {
    "created_at": lambda operation: moment(operation.created_at),
    "finished_at": lambda operation: moment(operation.finished_at),
    "kind": lambda operation: operation.kind,
}
# What a caller needs beside status:read for the outcome of another's operation, by the first part of its kind.
OUTCOME_SCOPES = {
    "policy": Scope.POLICY_READ,
    "feeds": Scope.POLICY_READ,
    "users": Scope.USERS_READ,
    "blocks_import": Scope.BLOCKS_READ,
}


@router.get("", responses=responses())
async def list_operations(
    caller: Caller,
    services: ServicesOf,
    paging: PagingQuery,
    state: Annotated[OperationState | None, Query(description="Only those in this state.")] = None,
    kind: Annotated[str | None, Query(max_length=64, description="Only those that do this.")] = None,
    sort: Annotated[OperationOrder, Query(description="`-`: falling. `finished_at`: running ones last.")] = (
        "-created_at"
    ),
) -> Page[OperationView]:
    """List the operations of this server's process: your own, or all with the scope status:read.

    The newest is the first, or as ``sort`` says. What came of another's needs the scope that reads its resource too.
    """
    found = (
        one
        for one in services.operations.list()
        if _may_see(caller, one) and (state is None or one.state is state) and (kind is None or one.kind == kind)
    )
    return sorted_page(paging, found, sort, SORT_KEYS, lambda one: one.id, partial(_show, caller))


@router.get("/{operation_id}", responses=responses(ProblemKind.NOT_FOUND))
async def get_operation(operation_id: str, caller: Caller, services: ServicesOf) -> OperationView:
    """Get the progress of an operation, or its result. Results of others need the scope that reads their resource."""
    return _show(caller, _find(services, caller, operation_id))


@router.delete(
    "/{operation_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(ProblemKind.NOT_FOUND, ProblemKind.OPERATION_ENDED, ProblemKind.NOT_CANCELLABLE),
)
async def cancel_operation(operation_id: str, caller: Caller, services: ServicesOf) -> None:
    """Cancel an operation of your own. What it has done so far stays."""
    operation = _find(services, caller, operation_id)
    if operation.created_by != caller.name:
        raise ApiError(ProblemKind.FORBIDDEN, f"{operation.created_by} started this operation")
    if operation.running and not operation.cancellable:
        raise ApiError(ProblemKind.NOT_CANCELLABLE, f"{operation.kind} ends by itself: done, or nothing changed")
    if not services.operations.cancel(operation):
        raise ApiError(ProblemKind.OPERATION_ENDED, f"The operation is {operation.state}")


def _find(services: Services, caller: Principal, operation_id: str) -> Operation:
    operation = services.operations.get(operation_id)
    if operation is None or not _may_see(caller, operation):
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no operation {operation_id}")
    return operation


def _show(caller: Principal, operation: Operation) -> OperationView:
    view = OperationView.model_validate(operation)
    needed = OUTCOME_SCOPES.get(operation.kind.partition("/")[0])
    if operation.created_by != caller.name and (needed is None or not caller.may(needed)):
        view.result = view.error = None  # either may quote rules, names of users or networks
    return view


def _may_see(caller: Principal, operation: Operation) -> bool:
    return operation.created_by == caller.name or caller.may(Scope.STATUS_READ)
