# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON parser for rule files: bounded in size and depth, and stricter than Python's parser.

Refused: duplicate keys (RFC 8259 section 4 leaves their meaning open), NaN and
Infinity (not JSON), numbers longer than ``MAX_DIGITS``, nesting beyond ``MAX_DEPTH``, bytes that are not UTF-8.

Two parsers are used. pydantic's is three times as fast; its result is taken only if the text cannot contain any of the
above. Otherwise Python's parser decides, and reports the place of an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from pydantic_core import from_json

MAX_BYTES = 256 * 1024 * 1024  # of one file; a million common rules are 150 MB
MAX_DEPTH = 32  # levels of nesting; the format itself has 7
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
MAX_DIGITS = 40  # of one number
BATCH = 4_096  # containers visited together, for CPU cache locality
SAFE_INT = 10 ** (MAX_DIGITS - 1)  # below it no number has too many digits
KEY_ENDS = (b'":', b" :", b"\t:", b"\n:", b"\r:")  # RFC 8259 section 2: the colon behind a key


class JsonError(ValueError):
    """The document is malformed or refused. The message names line and column, or the key."""


def parse_json(data: bytes) -> Any:  # noqa: ANN401  # any JSON value
    if len(data) > MAX_BYTES:
        raise JsonError(f"the file has {len(data)} bytes, more than the {MAX_BYTES} allowed")
    try:
        value = from_json(data, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return parse_strictly(data)
    return value if is_unambiguous(value, data) else parse_strictly(data)


def parse_strictly(data: bytes) -> Any:  # noqa: ANN401
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
    for _ in walk_levels(value):  # checks the depth; the parser itself raises RecursionError before a crash
        pass
    return value


def is_unambiguous(value: object, data: bytes) -> bool:
    """True if ``parse_strictly`` would parse ``data`` to the same ``value``.

    The fast parser keeps the last of duplicate keys. A key has a colon after its quote or white space, so there are at
    most as many keys as such colons. If ``value`` has that many, there are no duplicates.
    """
    keys = 0
    try:
        for values, kinds, named in walk_levels(value):
            if float in kinds or (int in kinds and any(type(n) is int and abs(n) >= SAFE_INT for n in values)):
                return False
            keys += named
    except JsonError:
        return False
    return keys == data.count(b":") or keys == sum(map(data.count, KEY_ENDS))


def walk_levels(value: object) -> Iterator[tuple[list[Any], set[type], int]]:
    """All values in batches, outermost level first, with their types and number of keys.

    Raises ``JsonError`` beyond ``MAX_DEPTH``.
    """
    level: list[Any] = [value]
    kinds: set[type] = {type(value)}
    yield level, kinds, 0
    for _ in range(MAX_DEPTH):
        if not kinds & CONTAINERS:
            return
        outer = [value for value in level if type(value) in CONTAINERS]
        level, kinds = [], set()
        for begin in range(0, len(outer), BATCH):
            some = outer[begin : begin + BATCH]
            dicts = [one for one in some if type(one) is dict]
            lists = [one for one in some if type(one) is list]
            values = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
            found = set(map(type, values))
            yield values, found, sum(map(len, dicts))
            if found & CONTAINERS:
                level += values
                kinds |= found
    if kinds & CONTAINERS:
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
