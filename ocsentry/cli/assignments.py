# SPDX-License-Identifier: GPL-3.0-or-later
"""``KEY=VALUE`` arguments of ``user set`` and ``group set``, as a merge patch; and effective settings as text.

Keys are those of the configuration file: ``network.routes``, or ``routes`` alone. Lists are separated by commas. An
empty value removes the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.invocation import CommandError
from ocsentry.cli.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Assignments = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY=VALUE...",
        help="Settings, such as routes=10.0.0.0/8,fd00::/8. An empty value removes the key.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show the server's values too.")]
SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
GLOBAL = "global"
NONE = "none"  # an empty list


def read_assignments(
    texts: Iterable[str],
    attributes: Mapping[str, type[object]],
    plain: Iterable[str],
    lists: Iterable[str] = (),
) -> dict[str, Any]:
    """Returns the merge patch. ``attributes``: keys of the resource itself; ``plain``: settings without a table.

    ``lists``: further settings ``TABLE.NAME``, whose value is a list, or ``none`` for an empty one. Raises
    ``CommandError``.
    """
    patch: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise CommandError(f"{text!r} is not KEY=VALUE")
        if key in attributes:
            patch[key] = _read_attribute(key, value, attributes[key])
            continue
        settings = patch.setdefault("settings", {})
        if key in plain:
            settings[key] = _read(key, value, "")
            continue
        if key in lists:
            table, _, name = key.partition(".")
            settings.setdefault(table, {})[name] = [] if value == NONE else _read(key, value, [])
            continue
        table, name, default = _find_setting(key)
        settings.setdefault(table, {})[name] = _read(key, value, default)
    return patch


def show_effective(resource: Mapping[str, Any], *, everything: bool) -> str:
    """Returns a table of the effective values with their origins; those of the server only with ``everything``."""
    rows = [
        {"key": key, "value": entry["value"], "from": entry["origin"]}
        for key, entry in sorted(resource["effective"].items())
        if everything or entry["origin"] != GLOBAL
    ]
    if not rows:
        return "every setting is the server's"
    return render_table(rows, ("key", "value", "from"))


def show_attributes(resource: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns lines ``name: value``."""
    width = max(len(name) for name in names)
    return "\n".join(f"{name:{width}}  {_show(resource.get(name))}" for name in names)


def tell_change(changed: Mapping[str, Any]) -> str:
    """Returns what a change did to live sessions."""
    lines = []
    if changed["in_force"]:
        lines.append(f"in force: {', '.join(changed['in_force'])}")
    if changed["at_next_login"]:
        lines.append(f"at the next login: {', '.join(changed['at_next_login'])}")
    if changed["sessions_cut"]:
        lines.append(f"sessions ended: {changed['sessions_cut']}")
    return "".join(f"\n{line}" for line in lines)


def _find_setting(key: str) -> tuple[str, str, object]:
    """Returns table, key and default of a setting."""
    from admin_api.session_settings.overrides import MODELS

    table, _, name = key.rpartition(".")
    for section, model in MODELS.items():
        if name in model.model_fields and table in {"", section}:
            return section, name, model.model_fields[name].default
    raise CommandError(f"{key!r} is no setting: see the keys of vpn.{', vpn.'.join(MODELS)} in the documentation")


def _read(key: str, value: str, default: object) -> object:
    if value == "":
        return None
    if isinstance(default, bool):
        return _read_switch(key, value)
    if isinstance(default, int):
        return _read_number(key, value)
    if isinstance(default, list):
        return [entry.strip() for entry in value.split(",")]
    return value


def _read_attribute(key: str, value: str, kind: type[object]) -> object:
    if kind is list:
        return [entry.strip() for entry in value.split(",") if entry.strip()]
    if kind is bool:
        return _read_switch(key, value)
    if kind is int and value:
        return _read_number(key, value)
    if kind is str and key in {"note", "label"}:
        return value
    return value or None


def _read_switch(key: str, value: str) -> bool:
    if value.lower() not in SWITCHES:
        raise CommandError(f"{key}: write true or false, not {value!r}")
    return SWITCHES[value.lower()]


def _read_number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise CommandError(f"{key}: {value!r} is not a whole number") from None


def _show(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
