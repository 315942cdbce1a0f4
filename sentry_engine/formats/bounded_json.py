# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as rule files need it: bounded in size and depth, without the liberties that Python's parser takes.

Refused: duplicate keys (RFC 8259 section 4 leaves their meaning open, so two readers may see two policies), NaN and
Infinity (not JSON), numbers of absurd length, nesting beyond ``MAX_DEPTH``, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_BYTES = 256 * 1024 * 1024  # of one file; a million rules of the usual shape are 150 MB
MAX_DEPTH = 32  # levels of nesting; the format itself has 7
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
MAX_DIGITS = 40  # of one number


class JsonError(ValueError):
    """Not a JSON document that is accepted here; the message names line and column, or the key."""


def parse_json(data: bytes) -> Any:  # noqa: ANN401  # any JSON value
    if len(data) > MAX_BYTES:
        raise JsonError(f"the file has {len(data)} bytes, more than the {MAX_BYTES} allowed")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_collect, parse_constant=_refuse, parse_int=_parse_int, parse_float=_parse_float
        )
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise JsonError(TOO_DEEP) from None
    check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Bound the nesting, a level at a time. The parser itself gives up at the interpreter's depth, far from a crash."""
    level: list[Any] = [value] if type(value) in CONTAINERS else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in CONTAINERS
        ]
        if not level:
            return
    raise JsonError(TOO_DEEP)


CONTAINERS = frozenset({dict, list})


def _collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    collected = dict(pairs)
    if len(collected) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonError(f"the key {twice!r} appears twice in one object")
    return collected


def _refuse(constant: str) -> None:
    raise JsonError(f"{constant} is not a JSON number")


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"a number has {len(digits)} digits, more than {MAX_DIGITS}")
    return int(digits)


def _parse_float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"a number has {len(digits)} digits, more than {MAX_DIGITS}")
    value = float(digits)
    if not math.isfinite(value):
        raise JsonError(f"{digits} is out of range")
    return value
