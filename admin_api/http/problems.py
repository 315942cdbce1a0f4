# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as problem documents (RFC 9457), all of one shape.

``type`` is a local URL that explains the kind, and ``code`` its last segment. ``instance`` is the id of the request, as
in the log. ``errors`` holds JSON pointers into the request or into ``file``. Imports no web framework: the server is
up before it has loaded one.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from sentry_engine import PolicyError
from sentry_engine.records import dataclass

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class _Facts:
    status: HTTPStatus
    title: str


class ProblemKind(Enum):
    """The problem kinds. The name in lower case is the stable code."""

    BAD_REQUEST = _Facts(HTTPStatus.BAD_REQUEST, "The request is not well-formed")
    UNAUTHENTICATED = _Facts(HTTPStatus.UNAUTHORIZED, "A valid bearer token is needed")
    FORBIDDEN = _Facts(HTTPStatus.FORBIDDEN, "The token lacks the scope for this")
    NOT_FOUND = _Facts(HTTPStatus.NOT_FOUND, "The resource does not exist")
    METHOD_NOT_ALLOWED = _Facts(HTTPStatus.METHOD_NOT_ALLOWED, "The resource has no such method")
    REQUEST_TIMEOUT = _Facts(HTTPStatus.REQUEST_TIMEOUT, "The request was not complete in time")
    ALREADY_EXISTS = _Facts(HTTPStatus.CONFLICT, "The resource exists already")
    ADDRESS_TAKEN = _Facts(HTTPStatus.CONFLICT, "Another user has this inner address")
    SELF_LOCKOUT = _Facts(HTTPStatus.CONFLICT, "The change would refuse the caller's own address")
    NEEDS_FORCE = _Facts(HTTPStatus.CONFLICT, "The change covers or disconnects very much; repeat it with force")
    NEVER_BLOCKED = _Facts(HTTPStatus.CONFLICT, "never_block exempts the whole network, so a block has no effect")
    FROM_FILE = _Facts(HTTPStatus.CONFLICT, "The resource belongs to a file; change it there")
    CONFIRMATION_PENDING = _Facts(HTTPStatus.CONFLICT, "An applied policy waits to be confirmed or rolled back")
    NOTHING_TO_CONFIRM = _Facts(HTTPStatus.CONFLICT, "No applied policy waits to be confirmed")
    CONTENT_NOT_KEPT = _Facts(HTTPStatus.CONFLICT, "A rule file is too large to be kept, so that state cannot return")
    TABLE_FULL = _Facts(HTTPStatus.CONFLICT, "The maximum number of these resources is reached")
    OPERATION_ENDED = _Facts(HTTPStatus.CONFLICT, "The operation has ended")
    NOT_CANCELLABLE = _Facts(HTTPStatus.CONFLICT, "The operation cannot be cancelled")
    WEBHOOK_DISABLED = _Facts(HTTPStatus.CONFLICT, "The webhook is disabled")
    NODE_IS_LIVE = _Facts(HTTPStatus.CONFLICT, "The node is alive, so it cannot be forgotten")
    IN_FLIGHT = _Facts(HTTPStatus.CONFLICT, "A request with this Idempotency-Key is still being answered")
    STALE = _Facts(HTTPStatus.PRECONDITION_FAILED, "The resource has changed since it was read")
    TOO_LARGE = _Facts(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = _Facts(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported")
    MISDIRECTED = _Facts(HTTPStatus.MISDIRECTED_REQUEST, "The Host header names another host")
    INVALID = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The request's values are invalid")
    INVALID_POLICY = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The policy is invalid; the earlier one stays in force")
    INVALID_CONFIGURATION = _Facts(
        HTTPStatus.UNPROCESSABLE_ENTITY, "The configuration is invalid; the earlier one stays in force"
    )
    KEY_REUSED = _Facts(HTTPStatus.UNPROCESSABLE_ENTITY, "The Idempotency-Key belongs to another request")
    PRECONDITION_REQUIRED = _Facts(HTTPStatus.PRECONDITION_REQUIRED, "If-Match is needed")
    TOO_MANY_REQUESTS = _Facts(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
    FEED_FAILED = _Facts(HTTPStatus.BAD_GATEWAY, "The list could not be downloaded; the earlier one stays in force")
    INTERNAL = _Facts(
        HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log has the reason under this instance id"
    )
    UNAVAILABLE = _Facts(HTTPStatus.SERVICE_UNAVAILABLE, "Temporarily unavailable")

    @property
    def code(self) -> str:
        return self.name.lower()

    @property
    def status(self) -> HTTPStatus:
        return self.value.status

    @property
    def title(self) -> str:
        return self.value.title


class ProblemError(BaseModel):
    """One error and its location."""

    pointer: str = Field(description="JSON pointer into the body or the file.", examples=["/cidr"])
    detail: str
    file: str | None = Field(None, description="The rule file, or the part of the request if not the body.")


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["/api/v1/problems/not_found"])
    title: str
    status: int
    detail: str
    code: str
    instance: str = Field(description="The id of the request, as in the log.")
    errors: list[ProblemError] = []


class ApiError(Exception):
    """Raised by an endpoint to refuse a request; a handler answers with the problem document."""

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


def unavailable(detail: str, retry_after: int = 5) -> ApiError:
    """Returns the error 503; the caller may repeat the request after ``retry_after`` seconds."""
    return ApiError(ProblemKind.UNAVAILABLE, detail, headers={"Retry-After": str(retry_after)})


def unauthenticated(detail: str) -> ApiError:
    """Returns the error 401 with its challenge."""
    return ApiError(ProblemKind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": 'Bearer realm="ocsentry"'})


def invalid_value(pointer: str, detail: str) -> ApiError:
    """Returns the error for one wrong value in the body."""
    return ApiError(ProblemKind.INVALID, detail, errors=[ProblemError(pointer=pointer, detail=detail)])


def responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI responses of an operation: these problem kinds and those of every guarded operation."""
    common = (
        ProblemKind.UNAUTHENTICATED,
        ProblemKind.FORBIDDEN,
        ProblemKind.INVALID,
        ProblemKind.TOO_MANY_REQUESTS,
        ProblemKind.INTERNAL,
    )
    return describe_problems(*kinds, *common)


def describe_problems(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI responses for these problem kinds, by status."""
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status.value, []).append(kind.title)
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {
        status: {"description": "; ".join(dict.fromkeys(said)), "content": schema} for status, said in titles.items()
    }


def policy_problems(error: PolicyError) -> ApiError:
    """Returns the error for an invalid policy, with all its problems."""
    errors = [ProblemError(file=p.file, pointer=p.pointer, detail=p.reason) for p in error.problems]
    return ApiError(ProblemKind.INVALID_POLICY, str(error.problems[0]) if error.problems else str(error), errors=errors)
