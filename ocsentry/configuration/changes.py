# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a running configuration with its file, and says which changes a reload can put in force.

The keys in ``LIVE`` can change while the server runs. All others are opened, dropped or bound at the start.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ocsentry.configuration.fields import Section
from sentry_engine.records import dataclass
from vpn_frontend.settings import BandwidthSettings, NetworkSettings, QuotaSettings, SessionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocsentry.configuration.model import Config, LoadedConfig
    from vpn_frontend.settings import AuthSettings, HostSettings, Overrides, VpnSettings

# The device and its pools are made at the start. The device's MTU is that of the configuration.
OPENED = frozenset({"device", "ipv4_pool", "ipv6_pool", "mtu"})
SECTIONS = {
    "network": frozenset(entry.name for entry in fields(NetworkSettings)) - OPENED,
    "session": frozenset(entry.name for entry in fields(SessionSettings)),
    "bandwidth": frozenset(entry.name for entry in fields(BandwidthSettings)),
    "quota": frozenset(entry.name for entry in fields(QuotaSettings)),
    "limits": frozenset({"max_same_clients", "on_excess"}),
}
PRE_LOGIN_BANNER = "auth.pre_login_banner"
NEVER_BLOCK = "policy.never_block"
LIVE = frozenset(
    {f"vpn.{section}.{key}" for section, keys in SECTIONS.items() for key in keys}
    | {"vpn.profile", "auth.banner", PRE_LOGIN_BANNER, NEVER_BLOCK, "admin.hosts", "log.level"}
)
GROUPS = "groups."
AUTH = ".auth"  # of a group: its methods are opened at the start


@dataclass(frozen=True, slots=True)
class Difference:
    """Changed keys by what they need. The values are left out: some are secret."""

    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class RunningConfiguration:
    """What the server runs with: the configuration of its start, and what reloads have changed since."""

    def __init__(self, config: LoadedConfig) -> None:
        self.vpn = config.vpn
        self._values = flatten(config.values)

    def compare(self, new: LoadedConfig) -> Difference:
        """Returns what the file has changed."""
        values = flatten(new.values)
        changed = sorted(key for key in values.keys() | self._values.keys() if values.get(key) != self._values.get(key))
        live = tuple(key for key in changed if self._is_live(key, new.vpn))
        return Difference(live, tuple(key for key in changed if key not in live))

    def take(self, new: LoadedConfig, difference: Difference) -> VpnSettings:
        """Note the live keys as running. Returns the VPN's settings with them, and all others as they were."""
        values = flatten(new.values)
        for key in difference.live:
            if key in values:
                self._values[key] = values[key]
            else:
                self._values.pop(key, None)
        self.vpn = _merge(self.vpn, new.vpn, frozenset(difference.live))
        return self.vpn

    def _is_live(self, key: str, new: VpnSettings) -> bool:
        if not key.startswith(GROUPS):
            return key in LIVE
        if key.endswith(AUTH):
            return False
        group = key.removeprefix(GROUPS)
        known = {self.vpn.network.ipv4_pool, self.vpn.network.ipv6_pool, *self.vpn.more_pools()}
        return _pools_of(new.groups.get(group, {})) <= known


def _pools_of(overrides: Overrides) -> frozenset[object]:
    network: Mapping[str, object] = overrides.get("network", {})
    return frozenset(pool for key in ("ipv4_pool", "ipv6_pool") if (pool := network.get(key)) is not None)


def _merge(old: VpnSettings, new: VpnSettings, live: frozenset[str]) -> VpnSettings:
    sections = {
        name: replace(
            getattr(old, name),
            **{key: getattr(getattr(new, name), key) for key in keys if f"vpn.{name}.{key}" in live},
        )
        for name, keys in SECTIONS.items()
    }
    names = [*new.groups, *(name for name in old.groups if name not in new.groups)]
    sources = {name: new.groups if f"{GROUPS}{name}" in live else old.groups for name in names}
    return replace(
        old,
        **sections,
        profile=new.profile if "vpn.profile" in live else old.profile,
        auth=_with_banners_of(old.auth, new.auth, live),
        hosts=_with_banners(old.hosts, new.hosts) if "auth.banner" in live else old.hosts,
        groups={name: source[name] for name, source in sources.items() if name in source},
    )


def _with_banners_of(old: AuthSettings, new: AuthSettings, live: frozenset[str]) -> AuthSettings:
    banner = new.banner if "auth.banner" in live else old.banner
    return replace(old, banner=banner, pre_login_banner=(new if PRE_LOGIN_BANNER in live else old).pre_login_banner)


def _with_banners(old: tuple[HostSettings, ...], new: tuple[HostSettings, ...]) -> tuple[HostSettings, ...]:
    """The old hosts with the new banners: a host without a banner of its own has that of ``auth``."""
    banners = {host.name: host.auth.banner for host in new}
    return tuple(
        replace(host, auth=replace(host.auth, banner=banners.get(host.name, host.auth.banner))) for host in old
    )


def flatten(config: Config) -> dict[str, object]:
    """Returns every key with its value. A group is one key, and its table ``auth`` another one."""
    values = dict(_keys(config, ""))
    for name, group in config.groups.items():
        values[f"{GROUPS}{name}"] = group.overrides()
        if group.auth.is_set:
            values[f"{GROUPS}{name}{AUTH}"] = group.auth
    return values


def _keys(section: Section, path: str) -> Iterator[tuple[str, object]]:
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{path}{name}"
        if isinstance(value, Section):
            yield from _keys(value, f"{key}.")
        elif key != "groups":
            yield key, value
