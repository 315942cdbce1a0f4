# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives each property of the OpenAPI description a description and an example.

What a model says itself stays. Constants and enumerations are their own examples, and so are objects with properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.vocabulary.descriptions import DESCRIPTIONS, PARAMETERS, STREAM
from admin_api.vocabulary.examples import EXAMPLES, STREAM_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def complete(api: dict[str, Any]) -> None:
    """Fill in what is missing, in place."""
    for name, schema in api["components"]["schemas"].items():
        for word, entry in schema.get("properties", {}).items():
            _fill(entry, _find(DESCRIPTIONS, name, word), _find(EXAMPLES, name, word))
    for operation in _operations(api):
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in PARAMETERS:
                parameter.setdefault("description", PARAMETERS[parameter["name"]])
        for answer in operation["responses"].values():
            stream = answer.get("content", {}).get("text/event-stream", {}).get("schema", {})
            for word, entry in stream.get("properties", {}).items():
                _fill(entry, STREAM[word], STREAM_EXAMPLES[word])


def _operations(api: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in api["paths"].values():
        yield from path.values()


def _find(words: Mapping[str, Any], schema: str, word: str) -> Any:  # noqa: ANN401 - JSON
    return words.get(f"{schema}.{word}", words.get(word))


def _fill(entry: dict[str, Any], description: str | None, example: object) -> None:
    if description is not None:
        entry.setdefault("description", description)
    if example is not None and not has_example(entry):
        entry["examples"] = [example]


def has_example(entry: dict[str, Any]) -> bool:
    """Whether a property shows what its value looks like.

    Constants, enumerations and references to other schemas of the description do. An array shows it by its items.
    """
    if {"examples", "$ref", "const", "enum"} & entry.keys():
        return True
    parts = [entry.get("items"), entry.get("additionalProperties")]
    if any(isinstance(part, dict) and has_example(part) for part in parts):
        return True
    choices = [one for one in entry.get("anyOf", entry.get("oneOf", [])) if one != {"type": "null"}]
    return bool(choices) and all(has_example(one) for one in choices)
