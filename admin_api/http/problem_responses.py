# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers with problem documents, and the handlers that make them of errors."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from admin_api.http.json_body import is_json_type
from admin_api.http.methods import allowed_methods
from admin_api.http.paths import PROBLEMS_PATH
from admin_api.http.problems import MEDIA_TYPE, ApiError, ProblemDocument, ProblemError, ProblemKind, policy_problems
from sentry_engine import PolicyError

MAX_ERRORS = 100  # of one document
MAX_SHOWN = 100  # characters of a header in an error
PARTS_OF_A_REQUEST = frozenset({"body", "query", "path", "header", "cookie"})

_BY_STATUS = {
    400: ProblemKind.BAD_REQUEST,
    401: ProblemKind.UNAUTHENTICATED,
    403: ProblemKind.FORBIDDEN,
    404: ProblemKind.NOT_FOUND,
    405: ProblemKind.METHOD_NOT_ALLOWED,
    408: ProblemKind.REQUEST_TIMEOUT,
    413: ProblemKind.TOO_LARGE,
    415: ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    422: ProblemKind.INVALID,
    429: ProblemKind.TOO_MANY_REQUESTS,
    503: ProblemKind.UNAVAILABLE,
}


def problem_response(scope: Mapping[str, Any], error: ApiError) -> JSONResponse:
    """Returns the answer to the request of ``scope``, an ASGI scope that has passed ``request_context``."""
    document = ProblemDocument(
        type=f"{PROBLEMS_PATH}/{error.kind.code}",
        title=error.kind.title,
        status=error.kind.status.value,
        detail=error.detail,
        code=error.kind.code,
        instance=scope.get("state", {}).get("request_id", ""),
        errors=list(error.errors)[:MAX_ERRORS],
    )
    return JSONResponse(
        document.model_dump(exclude_none=True),
        status_code=document.status,
        headers=dict(error.headers or {}),
        media_type=MEDIA_TYPE,
    )


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(PolicyError, _on_policy_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - the handler is registered for it
    return problem_response(request.scope, error)


async def _on_policy_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PolicyError)  # noqa: S101
    return problem_response(request.scope, policy_problems(error))


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    if any(item["loc"] == ("body",) for item in error.errors()) and not _is_json(request):
        said = request.headers.get("content-type", "none")[:MAX_SHOWN]
        detail = f"Send the body as JSON, with Content-Type: application/json. The request's type: {said}"
        return problem_response(request.scope, ApiError(ProblemKind.UNSUPPORTED_MEDIA_TYPE, detail))
    errors = [_place(item) for item in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{e.pointer or 'the request'}: {e.detail}" for e in errors[:3])
    return problem_response(request.scope, ApiError(ProblemKind.INVALID, detail, errors=errors))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(
        error.status_code, ProblemKind.INTERNAL if error.status_code >= 500 else ProblemKind.BAD_REQUEST
    )
    headers = dict(error.headers or {})
    if kind is ProblemKind.METHOD_NOT_ALLOWED:  # the router names the methods of one route only
        headers["Allow"] = ", ".join(allowed_methods(request.app.routes, request.scope))
    return problem_response(request.scope, ApiError(kind, str(error.detail), headers=headers))


def _place(item: Mapping[str, Any]) -> ProblemError:
    """Returns the location of a validation error. The input is left out: it may be a password."""
    part, *path = item["loc"] or ("body",)
    if item["type"] == "json_invalid":
        return ProblemError(pointer="", detail=f"not JSON: {item['ctx']['error']} at character {path[0]}")
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    file = part if part in PARTS_OF_A_REQUEST - {"body"} else None
    return ProblemError(pointer=pointer, detail=item["msg"].removeprefix("Value error, "), file=file)


def _is_json(request: Request) -> bool:
    """True if the request has no body, or declares a JSON type."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return True
    return is_json_type(headers.get("content-type", ""))
