# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditional requests (RFC 9110, 13.1) and changes by merge patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Body, Header
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from admin_api.http.problems import ProblemKind
from admin_api.http.values import Document

IfNoneMatch = Annotated[str | None, Header(description="The ETag of the resource as it is known already.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the resource as it was read, or *.")]
MergePatch = Annotated[
    Document,
    Body(description="A merge patch (RFC 7396): null removes a key.", media_type="application/merge-patch+json"),
]
Resource = TypeVar("Resource")
Model = TypeVar("Model", bound=BaseModel)


# What a change of a conditional resource may be answered with.
CONDITIONAL = (ProblemKind.NOT_FOUND, ProblemKind.PRECONDITION_REQUIRED, ProblemKind.STALE)


def apply_merge_patch(target: object, patch: object) -> Any:  # noqa: ANN401 - any JSON
    """Returns ``target`` changed by ``patch`` (RFC 7396, 2)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_merge_patch(merged.get(key), value)
    return merged


def validate_document(model: type[Model], document: Mapping[str, Any]) -> Model:
    """Returns the document as a body of a request. Raises ``RequestValidationError``, which is answered with 422."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None
