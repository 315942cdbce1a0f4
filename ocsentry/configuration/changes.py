# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a running configuration with its file, and says which changes a reload can put in force.

The keys in ``LIVE`` can change while the server runs. All others are opened, dropped or bound at the start.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ocsentry.configuration.fields import Section
from sentry_engine.records import dataclass
from vpn_frontend.settings import (
    BandwidthSettings,
    CertificateSettings,
    NetworkSettings,
    QuotaSettings,
    SessionSettings,
)

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
MAX_CLIENTS = "vpn.limits.max_clients"  # tables are made for that of the start
NEVER_BLOCK = "policy.never_block"
LIVE = frozenset(
    {f"vpn.{section}.{key}" for section, keys in SECTIONS.items() for key in keys}
    | {"vpn.profile", "auth.banner", PRE_LOGIN_BANNER, NEVER_BLOCK, "admin.hosts", "log.level"}
)
# What needs other hosts, certificates or rules of logins: the VPN replaces these together, if it can.
RENEWED_VPN = frozenset(
    {
        *("host", "certificate", "private_key", "private_key_password_file", "ocsp_response", "certificates"),
        *("http_headers", "extra_headers", "ip_phones", "client_page", "camouflage.secret", "camouflage.realm"),
        *("drain", "drain_at_least", "dtls_modes", "kdc_proxy"),
        *("user_config_dir", "group_config_dir", "default_user_config", "default_group_config"),
    }
)
RENEWED_AUTH = frozenset(
    {
        *("methods", "require", "attempts", "groups", "no_group_label", "unoffered_groups", "ocpasswd_file"),
        *("oath_file", *(f"certificate.{entry.name}" for entry in fields(CertificateSettings))),
        *("totp.required", "totp.in_first_form"),
    }
)
RENEWED = frozenset(
    {f"vpn.{key}" for key in RENEWED_VPN} | {f"auth.{key}" for key in RENEWED_AUTH} | {"accounting.interim"}
)
GROUPS = "groups."
AUTH = ".auth"  # of a group


@dataclass(frozen=True, slots=True)
class Difference:
    """Changed keys by what they need. The values are left out: some are secret."""

    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()  # all or none of them, see ``RENEWED``


class RunningConfiguration:
    """What the server runs with: the configuration of its start, and what reloads have changed since."""

    def __init__(self, config: LoadedConfig) -> None:
        self.vpn = config.vpn
        self._most_clients = config.vpn.limits.max_clients
        self._values = flatten(config.values)

    def compare(self, new: LoadedConfig) -> Difference:
        """Returns what the file has changed."""
        values = flatten(new.values)
        changed = sorted(key for key in values.keys() | self._values.keys() if values.get(key) != self._values.get(key))
        live = tuple(key for key in changed if self._is_live(key, new.vpn))
        renewed = tuple(key for key in changed if key in RENEWED or (key.startswith(GROUPS) and key.endswith(AUTH)))
        return Difference(live, tuple(key for key in changed if key not in (*live, *renewed)), renewed)

    def merge(self, new: LoadedConfig, difference: Difference) -> VpnSettings:
        """The settings that ``take`` would return."""
        merged = _merge(self.vpn, new.vpn, frozenset(difference.live))
        return _renew(merged, new.vpn) if difference.renewed else merged

    def take(self, new: LoadedConfig, difference: Difference) -> VpnSettings:
        """Note the live keys as running. Returns the VPN's settings with them, and all others as they were."""
        values = flatten(new.values)
        for key in (*difference.live, *difference.renewed):
            if key in values:
                self._values[key] = values[key]
            else:
                self._values.pop(key, None)
        self.vpn = self.merge(new, difference)
        return self.vpn

    def _is_live(self, key: str, new: VpnSettings) -> bool:
        if key == MAX_CLIENTS:
            return new.limits.max_clients <= self._most_clients
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
    if MAX_CLIENTS in live:
        sections["limits"] = replace(sections["limits"], max_clients=new.limits.max_clients)
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


def _renew(old: VpnSettings, new: VpnSettings) -> VpnSettings:
    """``old`` with all that is renewed together."""
    vpn = {_field(key): getattr(new, _field(key)) for key in RENEWED_VPN}
    auth = {_field(key): getattr(new.auth, _field(key)) for key in RENEWED_AUTH if not key.startswith("totp.")}
    asked = replace(old.auth.totp, required=new.auth.totp.required, in_first_form=new.auth.totp.in_first_form)
    return replace(old, **vpn, auth=replace(old.auth, **auth, totp=asked, group_rules=new.auth.group_rules))


def _field(key: str) -> str:
    name = key.partition(".")[0]
    return "hosts" if name == "host" else name


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
