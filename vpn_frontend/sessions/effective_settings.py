# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one session, each with its origin.

The user's own are over those that the authentication server sent, over those of files that were read at the login,
over its groups', over the virtual host's, over the server's.

Overrides name a section and a key, as the configuration does. Every key of the sections can be overridden, except those
in ``SERVER_ONLY``, so a new key needs no code here.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass
from vpn_frontend.auth.group_rules import merge_group_rules
from vpn_frontend.settings import NO_GROUPS, BandwidthSettings, Overrides, QuotaSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from sentry_engine.rules.schedules import Window
    from vpn_frontend.ports import RemoteLogin, UserRecord
    from vpn_frontend.settings import (
        AuthSettings,
        LimitSettings,
        LoginRules,
        NetworkSettings,
        SessionSettings,
        VpnSettings,
    )

GLOBAL = "global"
SECTIONS = ("network", "bandwidth", "quota", "session", "limits")
SERVER_ONLY = frozenset({"network.device", "limits.max_clients", "limits.on_excess"})
# What a change alters in a live session. Other keys are sent to the client or the gateway once, when a tunnel opens.
LIVE = frozenset(
    {
        "network.restrict_to_routes",
        "network.restrict_to_ports",
        "limits.max_same_clients",
        "session.cookie_timeout",
        "session.disconnect_grace",
        "session.deny_roaming",
        "session.session_timeout",
        "schedule",
        "expires_at",
    }
    | {f"bandwidth.{entry.name}" for entry in fields(BandwidthSettings)}
    | {f"quota.{entry.name}" for entry in fields(QuotaSettings)}
)
OF_GROUP = frozenset({"label", "auth"})  # what is of the group itself, not of its members' sessions
MAX_SHARED = 4096  # combinations of groups whose settings are kept; then all are resolved again
NO_ORIGINS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """One value per setting. ``origins`` lists the overridden ones by key, such as ``network.mtu`` or ``banner``."""

    network: NetworkSettings
    session: SessionSettings
    limits: LimitSettings
    banner: str = ""
    profile: str = ""
    hostname: str = ""  # empty: as the client says
    static_ipv4: IPv4Address | None = None
    static_ipv6: IPv6Address | None = None
    bandwidth: BandwidthSettings = field(default_factory=BandwidthSettings)
    quota: QuotaSettings = field(default_factory=QuotaSettings)
    schedule: tuple[Window, ...] = ()
    expires_at: datetime | None = None
    origins: Mapping[str, str] = field(default_factory=lambda: NO_ORIGINS)

    def origin_of(self, key: str) -> str:
        """``global``, ``host NAME``, ``group NAME``, ``group NAME (file)``, a ``RemoteLogin``'s, or ``user NAME``.

        A group with ``(file)`` is one of the configuration.
        """
        return self.origins.get(key, GLOBAL)

    @property
    def own_client_limit(self) -> int | None:
        """``max_same_clients`` of the user or a group, 0 for no limit. ``None``: the engine's own limit holds."""
        return self.limits.max_same_clients if "limits.max_same_clients" in self.origins else None

    def values(self) -> dict[str, object]:
        """Every value by its key, such as ``network.mtu``, without the keys in ``SERVER_ONLY``."""
        found: dict[str, object] = {}
        for name in SECTIONS:
            section = getattr(self, name)
            found |= {f"{name}.{entry.name}": getattr(section, entry.name) for entry in fields(section)}
        plain = ("banner", "profile", "hostname", "schedule", "expires_at", "static_ipv4", "static_ipv6")
        found |= {name: getattr(self, name) for name in plain}
        return {key: value for key, value in found.items() if key not in SERVER_ONLY}

    def changed_keys(self, other: EffectiveSettings) -> frozenset[str]:
        """The keys whose values differ."""
        mine, others = self.values(), other.values()
        return frozenset(key for key, value in mine.items() if others[key] != value)


class SettingsResolver:
    """Resolves the settings of users. Users without overrides share one object, and so do those of the same groups.

    ``groups`` are overrides by name of the group, over those of the configuration, key by key. Of a user's groups the
    first has precedence.
    """

    def __init__(self, settings: VpnSettings, groups: Mapping[str, Overrides] = NO_GROUPS) -> None:
        self._groups = groups
        self.set_settings(settings)

    def set_settings(self, settings: VpnSettings) -> None:
        """Replace what the configuration says. Sessions get it by ``LiveSessions.change_groups``."""
        self._global = EffectiveSettings(
            settings.network,
            settings.session,
            settings.limits,
            settings.auth.banner,
            settings.profile,
            bandwidth=settings.bandwidth,
            quota=settings.quota,
        )
        hosts = ((host.name, host.auth.banner, host.overrides) for host in settings.hosts)
        self._hosts = {
            name: apply_overrides(replace(self._global, banner=banner), [(f"host {name}", overrides)])
            for name, banner, overrides in hosts
        }
        self._of_file = settings.groups
        self._auth = settings.auth
        own = (settings.network.ipv4_pool, settings.network.ipv6_pool, *settings.more_pools())
        self._pools = [str(pool) for pool in own if pool is not None]
        self._shared: dict[tuple[str, ...], EffectiveSettings] = {}  # by host and groups

    def api_groups(self) -> Mapping[str, Overrides]:
        """The groups that are not of the configuration, by name."""
        return self._groups

    def set_groups(self, groups: Mapping[str, Overrides]) -> None:
        """Replace the groups that are not of the configuration."""
        self._groups = groups
        self._shared = {}

    def with_groups(self, groups: Mapping[str, Overrides]) -> SettingsResolver:
        """Returns another resolver with the same configuration, to try ``groups``."""
        other = copy(self)
        other.set_groups(groups)
        return other

    def file_groups(self) -> Mapping[str, Overrides]:
        """The groups of the configuration, by name."""
        return self._of_file

    def pool_names(self) -> list[str]:
        """The pools of inner addresses that the server has, its own first."""
        return list(self._pools)

    def has_pool(self, name: str) -> bool:
        return name in self._pools

    def group_names(self) -> list[str]:
        """Every group that sets something, those of the configuration first."""
        return [*dict.fromkeys([*self._of_file, *self._groups])]

    @property
    def auth(self) -> AuthSettings:
        """The rules of logins of the configuration."""
        return self._auth

    def login_rules(self, group: str) -> LoginRules:
        """The rules of logins by a group: its own of the API, over those of the configuration."""
        return merge_group_rules(self._auth, self._groups).get(group, self._auth.rules)

    def origins_of_rules(self, group: str) -> dict[str, str]:
        """``methods`` and ``require`` of a group's rules, each with its origin, as ``EffectiveSettings.origin_of``."""
        own, rules = self._groups.get(group, {}).get("auth", {}), self._auth.rules
        of_file = self._auth.group_rules.get(group, rules)
        below = {
            key: GLOBAL if getattr(of_file, key) == getattr(rules, key) else f"group {group} (file)"
            for key in ("methods", "require")
        }
        return below | dict.fromkeys(own, f"group {group}")

    def labels(self) -> dict[str, str]:
        """The labels of the groups that have one, by name."""
        given = {**labels_of(self._of_file), **labels_of(self._groups)}
        return {name: given[name] for name in self.group_names() if given.get(name)}

    def resolve(
        self, user: UserRecord, groups: Iterable[str], remote: RemoteLogin | None = None, host: str = ""
    ) -> EffectiveSettings:
        """The settings of one login at a virtual host. ``remote``: what the authentication server sent with it.

        Raises ``ValueError`` or ``TypeError`` for an override of a key that is not per session or not a key.
        """
        below = self.resolve_groups(groups, host)
        own = user_overrides(user)
        layers = [(f"user {user.name}", own)] if own else []
        if remote is not None and remote.overrides:
            layers.append((remote.origin, remote.overrides))
        layers += user.file_layers
        return apply_overrides(below, layers) if layers else below

    def resolve_groups(self, groups: Iterable[str], host: str = "") -> EffectiveSettings:
        """The settings of a member of ``groups`` without overrides of its own. Raises as ``resolve``."""
        base = self._hosts.get(host, self._global)
        names = tuple(name for name in groups if name in self._groups or name in self._of_file)
        if not names:
            return base
        found = self._shared.get((host, *names))
        if found is None:
            if len(self._shared) >= MAX_SHARED:
                self._shared.clear()
            found = self._shared[host, *names] = apply_overrides(base, self._layers(names))
        return found

    def _layers(self, names: Iterable[str]) -> Iterable[tuple[str, Overrides]]:
        for name in names:
            if name in self._groups:
                yield f"group {name}", self._groups[name]
            if name in self._of_file:
                yield f"group {name} (file)", self._of_file[name]


def user_overrides(user: UserRecord) -> Overrides:
    """What the user sets, its columns included."""
    own: Overrides = user.overrides.copy() if user.overrides else {}
    if user.max_same_clients is not None:
        own["limits"] = {**own.get("limits", {}), "max_same_clients": user.max_same_clients}
    if user.ipv4 is not None:
        own["static_ipv4"] = user.ipv4
    if user.ipv6 is not None:
        own["static_ipv6"] = user.ipv6
    if user.expires_at is not None:
        own["expires_at"] = user.expires_at
    return own


def apply_overrides(base: EffectiveSettings, layers: Iterable[tuple[str, Overrides]]) -> EffectiveSettings:
    """``base`` under ``layers``, each an origin with its overrides, the layer with the highest precedence first."""
    layers = list(layers)
    sections: dict[str, dict[str, object]] = {name: {} for name in SECTIONS}
    plain: dict[str, Any] = {}
    origins = dict(base.origins)
    taken: set[str] = set()
    for origin, overrides in layers:
        for name, value in overrides.items():
            if name in OF_GROUP:
                continue
            if name in sections and isinstance(value, Mapping):
                entries = [(f"{name}.{key}", sections[name], key, entry) for key, entry in value.items()]
            else:
                entries = [(name, plain, name, value)]
            for path, target, key, entry in entries:
                if path in SERVER_ONLY:
                    raise ValueError(f"{path} cannot differ between sessions")
                if path not in taken:
                    taken.add(path)
                    target[key] = entry
                    origins[path] = origin
    if sections["network"].get("append_routes", base.network.append_routes):
        sections["network"].update(_appended_routes(base.network, [overrides for _, overrides in layers]))
    changed: dict[str, Any] = {
        name: replace(getattr(base, name), **values) for name, values in sections.items() if values
    }
    return replace(base, **changed, **plain, origins=MappingProxyType(origins))


def _appended_routes(base: NetworkSettings, layers: Sequence[Overrides]) -> dict[str, object]:
    """The routes of all layers, the lowest first, after those of ``base``. An empty list drops those below it."""
    found: dict[str, object] = {}
    for key in ("routes", "no_routes"):
        given = [layer["network"][key] for layer in reversed(layers) if key in layer.get("network", {})]
        joined: tuple[object, ...] = getattr(base, key)
        for routes in given:
            joined = (*joined, *routes) if isinstance(routes, tuple) and routes else ()
        if given:
            found[key] = tuple(dict.fromkeys(joined))
    return found


def labels_of(groups: Mapping[str, Overrides]) -> dict[str, str]:
    return {name: overrides["label"] for name, overrides in groups.items() if "label" in overrides}
