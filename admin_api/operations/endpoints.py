# SPDX-License-Identifier: GPL-3.0-or-later
"""``/operations``."""

from fastapi import status

from admin_api.dependencies import Caller, ServicesOf
from admin_api.http.identity import Principal, Scope
from admin_api.http.paging import Page
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.long_operations import Operation
from admin_api.operations.schemas import OperationView
from admin_api.services import Services

router = resource_router("/operations", tag="operations")


@router.get("", responses=responses())
async def list_operations(caller: Caller, services: ServicesOf) -> Page[OperationView]:
    """List the operations of this server's process, newest first: your own, or all with the scope status:read."""
    seen = [one for one in services.operations.list() if _may_see(caller, one)]
    return Page(items=[OperationView.model_validate(one) for one in seen])


@router.get("/{operation_id}", responses=responses(ProblemKind.NOT_FOUND))
async def get_operation(operation_id: str, caller: Caller, services: ServicesOf) -> OperationView:
    """Get the progress of an operation, or its result."""
    return OperationView.model_validate(_find(services, caller, operation_id))


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


def _may_see(caller: Principal, operation: Operation) -> bool:
    return operation.created_by == caller.name or caller.may(Scope.STATUS_READ)
