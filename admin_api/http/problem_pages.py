# SPDX-License-Identifier: GPL-3.0-or-later
"""``/problems``: the pages that the ``type`` of a problem document links to. They need no token."""

from pydantic import BaseModel, Field

from admin_api.http.problems import ApiError, ProblemKind, describe_problems
from admin_api.http.routing import resource_router

router = resource_router("/problems", tag="problems")


class KindView(BaseModel):
    code: str
    status: int = Field(description="The HTTP status of answers with this problem.")
    title: str


@router.get("")
async def list_problems() -> list[KindView]:
    """List the problem kinds."""
    return [_show(kind) for kind in ProblemKind]


@router.get("/{code}", responses=describe_problems(ProblemKind.NOT_FOUND, ProblemKind.INVALID))
async def get_problem(code: str) -> KindView:
    """Explain one problem kind: the target of a problem document's type."""
    for kind in ProblemKind:
        if kind.code == code:
            return _show(kind)
    raise ApiError(ProblemKind.NOT_FOUND, f"There is no kind of problem {code}")


def _show(kind: ProblemKind) -> KindView:
    return KindView(code=kind.code, status=kind.status.value, title=kind.title)
