# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of ocserv's files for users and groups (``config-per-user``, ``config-per-group``), as overrides. Pure.

The grammar is that of ``ocserv.conf`` without sections. Single values of the user's file replace those of the group's;
lists of both are joined, and replace the server's.
"""

from __future__ import annotations

from dataclasses import field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from admin_api.session_settings.overrides import read_group_settings, read_user_settings
from sentry_engine.records import dataclass
from vpn_frontend.ocserv import grammar, values
from vpn_frontend.settings import NetworkSettings, SessionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vpn_frontend.ocserv.grammar import Entry
    from vpn_frontend.settings import Overrides

MAX_BYTES = 64 * 1024  # of one file
MAX_SHOWN = 40  # characters of a value in a problem
NETWORK, SESSION = NetworkSettings.__dataclass_fields__, SessionSettings.__dataclass_fields__

SWITCHES = {
    "restrict-user-to-routes": ("network", "restrict_to_routes"),
    "tunnel-all-dns": ("network", "tunnel_all_dns"),
    "client-bypass-protocol": ("network", "client_bypass_protocol"),
    "deny-roaming": ("session", "deny_roaming"),
}
NUMBERS = {
    "mtu": ("network", "mtu"),
    "rx-data-per-sec": ("bandwidth", "from_client"),
    "tx-data-per-sec": ("bandwidth", "to_client"),
    "dpd": ("session", "dpd"),
    "mobile-dpd": ("session", "mobile_dpd"),
    "idle-timeout": ("session", "idle_timeout"),
    "mobile-idle-timeout": ("session", "mobile_idle_timeout"),
    "session-timeout": ("session", "session_timeout"),
    "keepalive": ("session", "keepalive"),
    "max-same-clients": ("limits", "max_same_clients"),
}
NETWORK_LISTS = {"route": "routes", "no-route": "no_routes", "iroute": "iroutes"}
TEXT_LISTS = {
    **dict.fromkeys(("dns", "ipv4-dns", "ipv6-dns"), "dns"),
    **dict.fromkeys(("nbns", "ipv4-nbns", "ipv6-nbns"), "nbns"),
    "split-dns": "split_dns",
}
ADDRESSES: dict[str, tuple[str, type[IPv4Address | IPv6Address]]] = {
    "explicit-ipv4": ("static_ipv4", IPv4Address),
    "explicit-ipv6": ("static_ipv6", IPv6Address),
}
IGNORED = frozenset({"net-priority", "stats-report-time", "ipv6-subnet-prefix", "ipv4-netmask"})  # no effect here


class SettingsSyntaxError(ValueError):
    """A file that cannot be used. The text names the line."""


@dataclass(slots=True)
class ReadSettings:
    """What a file sets, and what of it has no effect."""

    overrides: Overrides
    remarks: tuple[str, ...] = ()
    profile: str = ""  # the name of a file with a client profile


@dataclass(slots=True)
class _Collected:
    document: dict[str, dict[str, Any]] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    netmask: str = ""
    profile: str = ""

    def put(self, section: str, key: str, value: object) -> None:
        self.document.setdefault(section, {})[key] = value

    def append(self, key: str, value: str) -> None:
        self.document.setdefault("network", {}).setdefault(key, []).append(value)


def parse_entries(data: bytes) -> tuple[Entry, ...]:
    """The entries of one file. Raises ``SettingsSyntaxError``."""
    if len(data) > MAX_BYTES:
        raise SettingsSyntaxError(f"the file has more than {MAX_BYTES} bytes")
    parsed = grammar.parse(data)
    if parsed.errors:
        raise SettingsSyntaxError(f"line {parsed.errors[0].line}: {parsed.errors[0].text}")
    for entry in parsed.entries:
        if entry.host:
            raise SettingsSyntaxError(f"line {entry.line}: a section has no place in this file")
    return parsed.entries


def read_settings(own: Sequence[Entry], below: Sequence[Entry] = ()) -> ReadSettings:
    """The overrides of the file with the entries ``own``; ``below`` are those of the group's file.

    Only keys of ``own`` are in them. Raises ``SettingsSyntaxError``.
    """
    keys = {entry.key for entry in own}
    collected = _Collected()
    for entry in own:
        if entry.key == "ipv4-netmask":
            collected.netmask = entry.value
    for entry in (*(entry for entry in below if entry.key in keys), *own):
        try:
            _read_entry(entry, collected)
        except ValueError as error:
            raise SettingsSyntaxError(f"line {entry.line}: {entry.key}: {error}") from None
    return ReadSettings(_validated(collected), tuple(collected.remarks), collected.profile)


def _validated(collected: _Collected) -> Overrides:
    """The bounds are those of the configuration's own keys."""
    limits = {"limits": collected.document.pop("limits")} if "limits" in collected.document else {}
    hostname = {"hostname": collected.plain.pop("hostname")} if "hostname" in collected.plain else {}
    try:
        found: dict[str, Any] = {
            **read_user_settings({**collected.document, **hostname}),
            **read_group_settings(limits),
            **collected.plain,
        }
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SettingsSyntaxError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return cast("Overrides", found)


def _read_entry(entry: Entry, into: _Collected) -> None:
    """Raises ``ValueError``."""
    key, value = entry.key, entry.value
    if key in SWITCHES:
        _put_known(entry, SWITCHES[key], _noted(entry, into, values.read_switch), into)
    elif key in NUMBERS:
        _put_known(entry, NUMBERS[key], _noted(entry, into, values.read_number), into)
    elif key in NETWORK_LISTS:
        _read_network(entry, NETWORK_LISTS[key], into)
    elif key in TEXT_LISTS:
        for part in value.split(",") if TEXT_LISTS[key] != "split_dns" else [value]:
            into.append(TEXT_LISTS[key], part.strip())
    elif key in ADDRESSES:
        name, family = ADDRESSES[key]
        into.plain[name] = family(value)
    elif key == "no-udp":
        into.put("session", "dtls", not _noted(entry, into, values.read_switch))
    elif key == "hostname":
        into.plain["hostname"] = value
    elif key == "restrict-user-to-ports":
        into.put("network", "restrict_to_ports", values.read_ports(value))
        into.put("network", "restrict_to_routes", True)
    elif key in ("ipv4-network", "ipv6-network"):
        into.put("network", f"{key[:4]}_pool", str(_pool(value, into.netmask if key == "ipv4-network" else "")))
    elif key == "user-profile":
        into.profile = value
    else:
        note = "has no effect on this server" if key in IGNORED else "is no key of this file"
        into.remarks.append(f"line {entry.line}: {key[:MAX_SHOWN]} {note}")


def _put_known(entry: Entry, target: tuple[str, str], value: object, into: _Collected) -> None:
    section, key = target
    if section in ("network", "session") and key not in (NETWORK if section == "network" else SESSION):
        into.remarks.append(f"line {entry.line}: {entry.key} has no effect on this server")
    else:
        into.put(section, key, value)


def _noted(entry: Entry, into: _Collected, read: Callable[[str], tuple[Any, str]]) -> Any:  # noqa: ANN401
    value, remark = read(entry.value)
    if remark:
        into.remarks.append(f"line {entry.line}: {entry.key}: {remark}")
    return value


def _read_network(entry: Entry, key: str, into: _Collected) -> None:
    """A default route empties the list, and stands for it."""
    if key == "routes" and values.is_default_route(entry.value):
        into.put("network", key, [])
        return
    network, remark = values.read_network(entry.value)
    if remark:
        into.remarks.append(f"line {entry.line}: {entry.key}: {remark}")
    into.append(key, str(network))


def _pool(value: str, netmask: str) -> object:
    text = f"{value}/{netmask}" if netmask and "/" not in value else value
    return ip_network(text.replace(" ", ""), strict=False)
