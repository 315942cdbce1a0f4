# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's surface is the one in ``openapi_surface.txt``: a change of it is seen in review.

``OCSENTRY_WRITE_OPENAPI=1`` writes the file again.
"""

from __future__ import annotations

import os
from pathlib import Path

from admin_api.app import describe_api

FILE = Path(__file__).with_name("openapi_surface.txt")
WRITE = "OCSENTRY_WRITE_OPENAPI"
MAX_SHOWN = 30  # of an enumeration; the kinds of events are shown by their schemas
OF_ALL = {"X-Request-ID", "RateLimit-Policy", "RateLimit"}  # headers of every answer


def show_type(schema):
    """The type of a value in a few characters."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " | ".join(show_type(one) for one in schema[word])
    if "const" in schema:
        return repr(schema["const"])
    if len(schema.get("enum", ())) > MAX_SHOWN:
        return "enumeration"
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        return f"[{show_type(schema.get('items', {}))}]"
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        return f"{{{show_type(schema['additionalProperties'])}}}"
    form = schema.get("format")
    return f"{schema.get('type', 'any')}{f'({form})' if form else ''}"


def show_content(answer):
    return ", ".join(f"{media}: {show_type(one.get('schema', {}))}" for media, one in answer.get("content", {}).items())


def surface(api):
    """Yields what clients depend on: operations, parameters, bodies, answers and schemas; no texts."""
    for path, methods in sorted(api["paths"].items()):
        for method, operation in sorted(methods.items()):
            scopes = [scope for one in operation.get("security", []) for names in one.values() for scope in names]
            yield f"{method.upper()} {path} {operation['operationId']} [{', '.join(scopes)}]"
            for one in sorted(operation.get("parameters", []), key=lambda one: (one["in"], one["name"])):
                need = " required" if one.get("required") else ""
                yield f"  {one['in']} {one['name']}: {show_type(one['schema'])}{need}"
            if "requestBody" in operation:
                yield f"  body {show_content(operation['requestBody'])}"
            for status, answer in sorted(operation["responses"].items()):
                headers = sorted(set(answer.get("headers", {})) - OF_ALL)
                yield f"  {status} {show_content(answer)} {headers or ''}".rstrip()
    for name, schema in sorted(api["components"]["schemas"].items()):
        if "properties" not in schema:
            yield f"schema {name}: {show_type(schema)}"
            continue
        yield f"schema {name}"
        for key, one in sorted(schema["properties"].items()):
            need = " required" if key in schema.get("required", ()) else ""
            yield f"  {key}: {show_type(one)}{need}"


def test_the_surface_is_the_one_in_review():
    text = "\n".join(surface(describe_api())) + "\n"
    if os.environ.get(WRITE):
        FILE.write_text(text)
    assert text == FILE.read_text(), f"if the change is wanted, run this test with {WRITE}=1 and commit the file"
