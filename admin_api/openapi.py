# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI description: what FastAPI finds in the endpoints, and what the middleware and headers add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from admin_api.event_schemas.union import REFERENCES, SCHEMA, event_components
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ProblemDocument, ProblemKind, describe_problems
from admin_api.http.routing import flatten_routes
from admin_api.respond_async import OPERATION_IDS as ASYNC_IDS
from admin_api.vocabulary.completion import complete

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

EVENT_REFERENCE = {"$ref": REFERENCES.format(model=SCHEMA)}
OF_BODIES = (ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE, ProblemKind.UNSUPPORTED_MEDIA_TYPE)
OPTIONAL_IF_MATCH = {"apply_policy", "rollback_policy"}  # needed for a document only

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
    "description": "A repetition with this key within 24 hours gets the first answer, and is not carried out again.",
}


PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["respond-async"]},
    "description": "`respond-async`: answer 202 at once; the operation at Location has the outcome. Others: no effect.",
}
ACCEPTED = {
    "description": "Under way, for `Prefer: respond-async`",
    "content": {"application/json": {"schema": {"$ref": REFERENCES.format(model="OperationView")}}},
}


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


HEADERS = {
    "X-Request-ID": _header("The id of the request, as in the log.", "0123456789abcdef"),
    "ETag": _header("The state of the resource, for If-Match.", '"0123456789abcdef0123"'),
    "Location": _header("The new resource.", "/api/v1/blocks/0193c5e0-0000-7000-8000-000000000000"),
    "Link": _header("The next page (`rel=next`).", '</api/v1/blocks?cursor=YQ>; rel="next"'),
    "Retry-After": _header("Seconds to wait.", "5"),
    "RateLimit-Policy": _header("The limits of requests over TCP.", '"requests";q=192;qu="concurrent-requests"'),
    "RateLimit": _header("What is left of them.", '"requests";r=191'),
    "Idempotency-Replayed": _header("The answer to an earlier request with this Idempotency-Key.", "true"),
    "WWW-Authenticate": _header("How to authenticate.", 'Bearer realm="ocsentry"'),
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Returns the OpenAPI description with ``ProblemDocument``, which every endpoint may answer with."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=[*flatten_routes(app.routes)]
    )
    models = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(models.pop("$defs", {}))
    schemas["ProblemDocument"] = models
    schemas |= event_components()
    components["headers"] = HEADERS
    for method, operation in _operations(schema):
        operation["responses"] |= {"400": describe_problems(ProblemKind.BAD_REQUEST)[400]}
        if "requestBody" in operation:
            operation["responses"] |= {str(status): answer for status, answer in describe_problems(*OF_BODIES).items()}
        if method == "post" and operation.get("security"):
            operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
            operation["responses"].setdefault("409", describe_problems(ProblemKind.IN_FLIGHT)[409])
        if operation["operationId"] in ASYNC_IDS:
            operation["parameters"].append(PREFER)
            operation["responses"]["202"] = {**ACCEPTED}
        _require_if_match(operation)
        for status, answer in operation["responses"].items():
            answer["headers"] = {name: _reference(name) for name in _headers_of(operation, method, status)}
    for media_type in _event_streams(schema):
        media_type["schema"] = media_type.pop("itemSchema")
    data = schema["paths"][f"{API_PREFIX}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
    data["properties"]["data"] |= {"contentMediaType": "application/json", "contentSchema": EVENT_REFERENCE}
    complete(schema)
    return schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in schema["paths"].values():
        yield from path.items()


def _event_streams(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the media types with ``itemSchema``, which FastAPI writes for streams and OpenAPI has from 3.2 on."""
    for _, operation in _operations(schema):
        for answer in operation["responses"].values():
            yield from (media for media in answer.get("content", {}).values() if "itemSchema" in media)


def _require_if_match(operation: dict[str, Any]) -> None:
    """The header is optional for FastAPI, so that its absence is answered with 428 instead of 422."""
    if "428" in operation["responses"] and operation["operationId"] not in OPTIONAL_IF_MATCH:
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "header" and parameter["name"].lower() == "if-match":
                parameter["required"] = True


def _headers_of(operation: dict[str, Any], method: str, status: str) -> Iterator[str]:
    """Yields the names of the headers of one answer."""
    yield from ("X-Request-ID", "RateLimit-Policy", "RateLimit")
    parameters = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    if status.startswith("2") and method != "delete" and {"if-match", "if-none-match"} & parameters:
        yield "ETag"
    if status in {"201", "202"}:
        yield "Location"
    if status == "200" and "cursor" in parameters:
        yield "Link"
    if status.startswith("2") and method == "post" and "idempotency-key" in parameters:
        yield "Idempotency-Replayed"
    if status in {"429", "503"}:
        yield "Retry-After"
    if status == "401":
        yield "WWW-Authenticate"


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}
