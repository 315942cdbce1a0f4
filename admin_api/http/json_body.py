# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of requests. A key that an object has twice is refused (RFC 8259, 4: what it means is up to the reader)."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class RepeatedKeyError(ValueError):
    """``path``: the keys and indexes down to the key that an object has twice."""

    def __init__(self, path: tuple[str | int, ...]) -> None:
        super().__init__(f"{path[-1]}: an object has this key more than once")
        self.path = path


class _Repeating(dict[str, Any]):
    """An object of which a key stood more than once."""

    repeated: str


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON
    """Returns the value. Raises ``ValueError``: ``json.JSONDecodeError``, ``UnicodeDecodeError``, or this module's."""
    found: list[_Repeating] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) == len(pairs):
            return document
        repeating = _Repeating(document)
        repeating.repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        found.append(repeating)
        return repeating

    document = json.loads(text, object_pairs_hook=collect)
    if found:
        raise RepeatedKeyError(next(_paths(document, ())))
    return document


def is_json_type(content_type: str) -> bool:
    """True for ``application/json`` and ``application/...+json``."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _paths(value: object, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yields the paths of repeated keys. The outermost object that repeats one is always among them."""
    if isinstance(value, _Repeating):
        yield (*place, value.repeated)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*place, number))
