# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of settings and users as plain JSON values, and back.

Only the types in ``_CLASSES`` and ``_TEXTS`` are known: no document makes an object of another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

from sentry_engine.rules.schedules import Window
from vpn_frontend.ports import Device, RemoteLogin, UserRecord
from vpn_frontend.settings import PortRule

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASSES: dict[str, type[Any]] = {one.__name__: one for one in (UserRecord, RemoteLogin, Device, PortRule, Window)}
_TEXTS: dict[str, tuple[type[Any], Callable[[str], Any], Callable[[Any], str]]] = {
    "datetime": (datetime, datetime.fromisoformat, datetime.isoformat),  # before date, of which it is a kind
    "date": (date, date.fromisoformat, date.isoformat),
    "ipv4": (IPv4Address, IPv4Address, str),
    "ipv6": (IPv6Address, IPv6Address, str),
    "network4": (IPv4Network, IPv4Network, str),
    "network6": (IPv6Network, IPv6Network, str),
    "bytes": (bytes, bytes.fromhex, bytes.hex),
}


def to_plain(value: object) -> Any:  # noqa: ANN401 - of JSON
    """Raises ``TypeError`` for a value of an unknown type."""
    if value is None or (isinstance(value, bool | int | float | str) and type(value).__module__ == "builtins"):
        return value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, frozenset | set):
        return {"set": [to_plain(item) for item in sorted(value)]}
    if isinstance(value, Mapping):
        return {"map": {str(key): to_plain(item) for key, item in value.items()}}
    if is_dataclass(value) and type(value) is _CLASSES.get(type(value).__name__):
        members = {entry.name: to_plain(getattr(value, entry.name)) for entry in fields(value)}
        return {type(value).__name__: members}
    for name, (kind, _, render) in _TEXTS.items():
        if isinstance(value, kind):
            return {name: render(value)}
    raise TypeError(f"a value of {type(value).__name__} cannot be kept")


def from_plain(value: Any) -> Any:  # noqa: ANN401 - of JSON
    """Raises ``ValueError``, ``TypeError`` or ``KeyError`` for what ``to_plain`` never makes."""
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    if name == "set":
        return frozenset(from_plain(content))
    if name == "map":
        return {key: from_plain(item) for key, item in content.items()}
    if name in _TEXTS:
        return _TEXTS[name][1](content)
    return _CLASSES[name](**{key: from_plain(item) for key, item in content.items()})
