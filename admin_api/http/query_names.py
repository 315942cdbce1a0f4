# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses query parameters that an operation does not have: a misspelt ``dry_run`` must not carry the change out."""

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant

from admin_api.http.problem_responses import MAX_ERRORS
from admin_api.http.problems import ApiError, ProblemError, ProblemKind

_known: dict[Any, frozenset[str]] = {}  # by endpoint function


async def refuse_unknown_query(request: Request) -> None:
    """A dependency of every operation. Raises ``ApiError``."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    known = _known.get(route.endpoint)
    if known is None:
        known = _known[route.endpoint] = frozenset(_names(route.dependant))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        allowed = f"known are {', '.join(sorted(known))}" if known else "this operation has none"
        detail = f"unknown query parameter: {allowed}"
        errors = [ProblemError(pointer=f"/{name[:64]}", detail=detail, file="query") for name in unknown[:MAX_ERRORS]]
        raise ApiError(ProblemKind.BAD_REQUEST, f"{unknown[0][:64]!r}: {detail}", errors=errors)


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
