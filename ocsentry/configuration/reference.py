# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the reference of the configuration file from its models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from ocsentry.configuration.changes import LIVE, MAX_CLIENTS, RENEWED
from ocsentry.configuration.fields import Section
from ocsentry.configuration.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


def render_reference() -> str:
    """Returns all keys as Markdown, one table per section."""
    lines: list[str] = []
    for name, section in _sections(Config):
        keys = [key for key, field in section.model_fields.items() if not _is_section(field)]
        lines += [
            f"## `[{name}]`",
            "",
            _at_reload(name, keys),
            "",
            "| key | default | unit | what it does |",
            "|---|---|---|---|",
        ]
        lines += [_row(key, field) for key, field in section.model_fields.items() if not _is_section(field)]
        lines.append("")
    return "\n".join(lines).rstrip()


IN_FORCE = LIVE | RENEWED | {MAX_CLIENTS}
AT_ONCE = "A reload puts all in force, hosts that are new or gone among it."


def _at_reload(section: str, keys: list[str]) -> str:
    """What a reload does with a changed key of ``section``."""
    if section == "groups.NAME":
        return "A reload puts all in force, but for pools that no part of the configuration had at the start."
    if section == "vpn.host":
        return AT_ONCE
    live = [f"`{key}`" for key in keys if f"{section}.{key}" in IN_FORCE]
    rest = [f"`{key}`" for key in keys if f"{section}.{key}" not in IN_FORCE]
    if not live:
        return "A change waits for a restart."
    if not rest:
        return "A reload puts all in force."
    if len(live) > len(rest):
        return f"A reload puts all in force but {', '.join(rest)}, which wait for a restart."
    return f"A reload puts {', '.join(live)} in force; the others wait for a restart."


def _sections(model: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    if any(not _is_section(field) for field in model.model_fields.values()):
        yield prefix, model
    for key, field in model.model_fields.items():
        name = f"{prefix}.{key}" if prefix else key
        section = _section_of(field)
        if section is None:
            continue
        origin = get_origin(field.annotation)
        if origin is tuple:
            yield from ((f"[{table}]" if table == name else table, one) for table, one in _sections(section, name))
        else:
            yield from _sections(section, f"{name}.NAME" if origin is dict else name)


def _is_section(field: FieldInfo) -> bool:
    return _section_of(field) is not None


def _section_of(field: FieldInfo) -> type[Section] | None:
    """The table that the key is, or whose tables it holds, by name or in a list; ``None``: it is no table."""
    annotation, origin = field.annotation, get_origin(field.annotation)
    if origin is dict:
        annotation = get_args(field.annotation)[-1]
    elif origin is tuple and getattr(get_args(field.annotation)[0], "table_of_its_own", False):
        annotation = get_args(field.annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _row(key: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    default = '""' if field.default is None else "" if field.is_required() else _default(field.default)
    return f"| `{key}` | {default and f'`{default}`'} | {unit or _choices(field.annotation)} | {field.description} |"


def _default(value: Any) -> str:  # noqa: ANN401 - a default is any TOML value
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    return json.dumps(value)


def _choices(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return ""
