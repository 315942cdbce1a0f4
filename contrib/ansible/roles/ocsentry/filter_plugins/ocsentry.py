# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``ocsentry_toml``: sections of the role's variables as the text of a TOML file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"ocsentry_toml": render}


def render(document: Mapping[str, Any]) -> str:
    """Returns TOML 1.0. Keys whose value is null are left out. Raises ``TypeError`` for what TOML has no form for."""
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """The lines of a table: its own keys first, then the tables in it."""
    present = {key: value for key, value in values.items() if value is not None}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in present.items() if not _has_tables(value)]
    for key, value in present.items():
        if not _has_tables(value):
            continue
        below = (*path, _key(key))
        name, several = ".".join(below), not isinstance(value, Mapping)
        for each in value if several else [value]:
            lines += ["", f"[[{name}]]" if several else f"[{name}]", *_table(each, below)]
    return lines


def _has_tables(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return _is_list(value) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _key(key: object) -> str:
    text = str(key)
    return text if BARE_KEY.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _value(value: object) -> str:
    """A JSON string, number or truth value is TOML's, but for the character 127, which TOML wants escaped."""
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if _is_list(value):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"TOML has no form for {value!r}")
