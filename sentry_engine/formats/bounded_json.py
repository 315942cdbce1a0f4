# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as rule files need it: bounded in size and depth, without the liberties that Python's parser takes.

Refused: duplicate keys (RFC 8259 section 4 leaves their meaning open, so two readers may see two policies), NaN and
Infinity (not JSON), numbers of absurd length, nesting beyond ``MAX_DEPTH``, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any

MAX_BYTES = 256 * 1024 * 1024  # of one file; a million rules of the usual shape are 150 MB
MAX_DEPTH = 32  # levels of nesting; the format itself has 7
MAX_DIGITS = 40  # of one number


class JsonError(ValueError):
    """Not a JSON document that is accepted here; the message names line and column, or the key."""


def parse_json(data: bytes) -> Any:  # noqa: ANN401  # any JSON value
    if len(data) > MAX_BYTES:
        raise JsonError(f"the file has {len(data)} bytes, more than the {MAX_BYTES} allowed")
    check_depth(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    try:
        return json.loads(
            text, object_pairs_hook=_collect, parse_constant=_refuse, parse_int=_parse_int, parse_float=_parse_float
        )
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno} column {error.colno}") from None


def check_depth(data: bytes) -> None:
    """Bound the nesting before the recursive parser sees it. Brackets inside strings do not count."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    brackets = STRING.sub(b"", data).translate(None, delete=NOT_BRACKETS)
    if max(accumulate(map(STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels")


STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
STEPS = tuple(1 if byte in b"[{" else -1 for byte in range(256))
NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


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
