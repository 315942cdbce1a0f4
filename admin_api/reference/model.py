# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reference page shows: the operations by tag and the schemas, read from the OpenAPI description."""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REFERENCE = "#/components/schemas/"
MAX_VALUES = 24  # of an enumeration


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a type: text, and the schema that it names."""

    text: str
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A property of a schema, or a parameter of an operation."""

    name: str
    type: tuple[Part, ...]
    description: str
    example: str
    required: bool
    place: str = ""  # of a parameter: query, path or header


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    description: str
    type: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: str
    path: str
    paragraphs: tuple[str, ...]
    scopes: tuple[str, ...]
    parameters: tuple[Field, ...]
    body: tuple[tuple[str, tuple[Part, ...]], ...]  # media types with their schemas
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    name: str
    description: str
    type: tuple[Part, ...]  # of a schema without properties
    fields: tuple[Field, ...]


@dataclass(slots=True)
class Reference:
    title: str
    version: str
    operations: dict[str, list[Operation]] = field(default_factory=dict)  # by tag
    schemas: list[Schema] = field(default_factory=list)


def read_reference(description: Mapping[str, Any]) -> Reference:
    """Returns the contents of the page."""
    reference = Reference(description["info"]["title"], description["info"]["version"])
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            reference.operations.setdefault(tag, []).append(_read_operation(method, path, operation))
    reference.operations = dict(sorted(reference.operations.items()))
    components = description["components"]["schemas"]
    reference.schemas = [_read_schema(name, schema) for name, schema in sorted(components.items())]
    return reference


def type_of(schema: Mapping[str, Any]) -> tuple[Part, ...]:
    """Returns the type of ``schema`` in words, with the names of other schemas."""
    return tuple(_type_parts(schema))


def _read_operation(method: str, path: str, operation: Mapping[str, Any]) -> Operation:
    scopes = [scope for needed in operation.get("security", []) for names in needed.values() for scope in names]
    said = operation.get("description", operation.get("summary", ""))
    body = operation.get("requestBody", {}).get("content", {})
    answers = [
        Answer(status, answer.get("description", ""), type_of(_first_schema(answer.get("content", {}))))
        for status, answer in sorted(operation.get("responses", {}).items())
    ]
    return Operation(
        operation["operationId"],
        method.upper(),
        path,
        tuple(said.split("\n\n")),
        tuple(scopes),
        tuple(_read_parameter(one) for one in operation.get("parameters", [])),
        tuple((media, type_of(content.get("schema", {}))) for media, content in body.items()),
        tuple(answers),
    )


def _read_parameter(parameter: Mapping[str, Any]) -> Field:
    schema = parameter.get("schema", {})
    said = parameter.get("description", schema.get("description", ""))
    example = _example_of(schema) or _example_of(parameter)
    required = parameter.get("required", False)
    return Field(parameter["name"], type_of(schema), said, example, required, parameter["in"])


def _read_schema(name: str, schema: Mapping[str, Any]) -> Schema:
    required = schema.get("required", [])
    fields = tuple(
        Field(key, type_of(one), one.get("description", ""), _example_of(one), key in required)
        for key, one in schema.get("properties", {}).items()
    )
    return Schema(name, schema.get("description", ""), () if fields else type_of(schema), fields)


def _first_schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((media.get("schema", {}) for media in content.values()), {})


def _example_of(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples") or [schema[key] for key in ("example", "default") if key in schema]
    if not isinstance(examples, list) or not examples:
        return ""
    return examples[0] if isinstance(examples[0], str) else json.dumps(examples[0], ensure_ascii=False)


def _type_parts(schema: Mapping[str, Any]) -> Iterator[Part]:
    choices = schema.get("anyOf") or schema.get("oneOf")
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        yield Part(name, name)
    elif choices:
        for number, choice in enumerate(choices):
            yield from (Part(" or "), *_type_parts(choice)) if number else _type_parts(choice)
    elif "allOf" in schema:
        for choice in schema["allOf"]:
            yield from _type_parts(choice)
    elif "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        more = " …" if len(values) > MAX_VALUES else ""
        yield Part(" | ".join(json.dumps(value) for value in values[:MAX_VALUES]) + more)
    elif schema.get("type") == "array":
        yield Part("list of ")
        yield from _type_parts(schema.get("items", {}))
    elif schema:
        yield Part(str(schema.get("format") or schema.get("type") or "any"))
