# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as RFC 9457 problem documents, all of one shape, whoever raises them.

``type`` is a local URL that explains the kind, ``code`` its last part, ``instance`` the request's id, as in the log.
``errors`` points with JSON pointers into the request, or into ``file``.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from admin_api.http.paths import PROBLEMS_PATH
from sentry_engine import PolicyError

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100  # of one document
PARTS_OF_A_REQUEST = frozenset({"body", "query", "path", "header", "cookie"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Facts:
    status: HTTPStatus
    title: str


class ProblemKind(Enum):
    """Every kind of problem there is. The name in lower case is its stable code."""

    BAD_REQUEST = _Facts(HTTPStatus.BAD_REQUEST, "The request is not well-formed")
    UNAUTHENTICATED = _Facts(HTTPStatus.UNAUTHORIZED, "A valid bearer token is needed")
    FORBIDDEN = _Facts(HTTPStatus.FORBIDDEN, "The token lacks the scope for this")
    NOT_FOUND = _Facts(HTTPStatus.NOT_FOUND, "There is no such resource")
    METHOD_NOT_ALLOWED = _Facts(HTTPStatus.METHOD_NOT_ALLOWED, "The resource has no such method")
    ALREADY_EXISTS = _Facts(HTTPStatus.CONFLICT, "It exists already")
    ADDRESS_TAKEN = _Facts(HTTPStatus.CONFLICT, "Another user has this inner address")
    SELF_LOCKOUT = _Facts(HTTPStatus.CONFLICT, "The change would refuse the caller's own address")
    NEVER_BLOCKED = _Facts(HTTPStatus.CONFLICT, "never_block exempts the whole network, a block would do nothing")
    FROM_FILE = _Facts(HTTPStatus.CONFLICT, "The rule comes from a rule file and is changed there")
    TABLE_FULL = _Facts(HTTPStatus.CONFLICT, "The table of these resources is full")
    IN_FLIGHT = _Facts(HTTPStatus.CONFLICT, "A request with this Idempotency-Key is still being answered")
    STALE = _Facts(HTTPStatus.PRECONDITION_FAILED, "The resource has changed since it was read")
    TOO_LARGE = _Facts(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
    INVALID = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The request's values are invalid")
    INVALID_POLICY = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The policy is invalid, the one before stays in force")
    KEY_REUSED = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The Idempotency-Key belongs to another request")
    PRECONDITION_REQUIRED = _Facts(HTTPStatus.PRECONDITION_REQUIRED, "If-Match is needed")
    TOO_MANY_REQUESTS = _Facts(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
    INTERNAL = _Facts(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log has the reason under this instance")
    UNAVAILABLE = _Facts(HTTPStatus.SERVICE_UNAVAILABLE, "Not now")

    @property
    def code(self) -> str:
        return self.name.lower()

    @property
    def status(self) -> HTTPStatus:
        return self.value.status

    @property
    def title(self) -> str:
        return self.value.title


_BY_STATUS = {
    400: ProblemKind.BAD_REQUEST,
    401: ProblemKind.UNAUTHENTICATED,
    403: ProblemKind.FORBIDDEN,
    404: ProblemKind.NOT_FOUND,
    405: ProblemKind.METHOD_NOT_ALLOWED,
    413: ProblemKind.TOO_LARGE,
    422: ProblemKind.INVALID,
    429: ProblemKind.TOO_MANY_REQUESTS,
    503: ProblemKind.UNAVAILABLE,
}


class ProblemError(BaseModel):
    """One wrong place."""

    pointer: str = Field(description="JSON pointer into the body, or into the file", examples=["/cidr"])
    detail: str
    file: str | None = Field(None, description="the rule file, or the part of the request that is not the body")


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["/api/v1/problems/not_found"])
    title: str
    status: int
    detail: str
    code: str
    instance: str = Field(description="the id of the request, which the log has too")
    errors: list[ProblemError] = []


class ApiError(Exception):
    """What an endpoint raises to refuse; one handler turns it into a problem document."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        errors: Sequence[ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers


def unauthenticated(detail: str) -> ApiError:
    return ApiError(ProblemKind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": 'Bearer realm="ocsentry"'})


def invalid(pointer: str, detail: str) -> ApiError:
    """One wrong value in the body."""
    return ApiError(ProblemKind.INVALID, detail, errors=[ProblemError(pointer=pointer, detail=detail)])


def responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of an operation that can fail in these ways, besides those that every guarded one can."""
    common = (
        ProblemKind.UNAUTHENTICATED,
        ProblemKind.FORBIDDEN,
        ProblemKind.INVALID,
        ProblemKind.TOO_MANY_REQUESTS,
        ProblemKind.INTERNAL,
    )
    return describe_problems(*kinds, *common)


def describe_problems(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status.value, []).append(kind.title)
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {
        status: {"description": "; ".join(dict.fromkeys(said)), "content": schema} for status, said in titles.items()
    }


def problem_response(scope: Mapping[str, Any], error: ApiError) -> JSONResponse:
    """The answer to the request of ``scope``, an ASGI scope that passed ``exchange``."""
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


def policy_problems(error: PolicyError) -> ApiError:
    errors = [ProblemError(file=p.file, pointer=p.pointer, detail=p.reason) for p in error.problems]
    return ApiError(ProblemKind.INVALID_POLICY, str(error.problems[0]) if error.problems else str(error), errors=errors)


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(PolicyError, _on_policy_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - what it is registered for
    return problem_response(request.scope, error)


async def _on_policy_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PolicyError)  # noqa: S101
    return problem_response(request.scope, policy_problems(error))


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [_place(item) for item in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{e.pointer or 'the request'}: {e.detail}" for e in errors[:3])
    return problem_response(request.scope, ApiError(ProblemKind.INVALID, detail, errors=errors))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(
        error.status_code, ProblemKind.INTERNAL if error.status_code >= 500 else ProblemKind.BAD_REQUEST
    )
    return problem_response(request.scope, ApiError(kind, str(error.detail), headers=error.headers))


def _place(item: Mapping[str, Any]) -> ProblemError:
    """A validation error's place as a JSON pointer. Its input is left out: it may be a password."""
    part, *path = item["loc"] or ("body",)
    if item["type"] == "json_invalid":
        return ProblemError(pointer="", detail=f"not JSON: {item['ctx']['error']} at character {path[0]}")
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    file = part if part in PARTS_OF_A_REQUEST - {"body"} else None
    return ProblemError(pointer=pointer, detail=item["msg"], file=file)
