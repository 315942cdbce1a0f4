# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one session, each with its origin.

The user's own are over those that the authentication server sent, over its groups', over the server's.

Overrides name a section and a key, as the configuration does. Every key of ``NetworkSettings``, ``SessionSettings`` and
``LimitSettings`` can be overridden, except those in ``SERVER_ONLY``, so a new key needs no code here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vpn_frontend.settings import Overrides

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from vpn_frontend.ports import RemoteLogin, UserRecord
    from vpn_frontend.settings import LimitSettings, NetworkSettings, SessionSettings, VpnSettings

GLOBAL = "global"
SERVER_ONLY = frozenset(
    {"network.device", "network.ipv4_pool", "network.ipv6_pool", "limits.max_clients", "limits.on_excess"}
)
NO_ORIGINS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """One value per setting. ``origins`` lists the overridden ones by key, such as ``network.mtu`` or ``banner``."""

    network: NetworkSettings
    session: SessionSettings
    limits: LimitSettings
    banner: str = ""
    static_ipv4: IPv4Address | None = None
    static_ipv6: IPv6Address | None = None
    origins: Mapping[str, str] = field(default_factory=lambda: NO_ORIGINS)

    def origin_of(self, key: str) -> str:
        """``global``, ``group NAME``, ``user NAME`` or a ``RemoteLogin``'s origin."""
        return self.origins.get(key, GLOBAL)

    @property
    def own_client_limit(self) -> int | None:
        """``max_same_clients`` of the user or a group, 0 for no limit. ``None``: the engine's own limit holds."""
        return self.limits.max_same_clients if "limits.max_same_clients" in self.origins else None


class SettingsResolver:
    """Resolves the settings of users. Users without overrides share one object.

    ``groups`` are overrides by name of the group. Of a user's groups the first has precedence.
    """

    def __init__(self, settings: VpnSettings, groups: Mapping[str, Overrides] = MappingProxyType({})) -> None:
        self._global = EffectiveSettings(settings.network, settings.session, settings.limits, settings.auth.banner)
        self._groups = groups

    def resolve(self, user: UserRecord, groups: Iterable[str], remote: RemoteLogin | None = None) -> EffectiveSettings:
        """The settings of one login. ``remote``: what the authentication server sent with it.

        Raises ``ValueError`` or ``TypeError`` for an override of a key that is not per session or not a key."""
        own = user_overrides(user)
        layers = [(f"user {user.name}", own)] if own else []
        if remote is not None and remote.overrides:
            layers.append((remote.origin, remote.overrides))
        if self._groups:
            layers += [(f"group {name}", self._groups[name]) for name in groups if name in self._groups]
        return apply_overrides(self._global, layers) if layers else self._global


def user_overrides(user: UserRecord) -> Overrides:
    own: Overrides = {}
    if user.max_same_clients is not None:
        own["limits"] = {"max_same_clients": user.max_same_clients}
    if user.ipv4 is not None:
        own["static_ipv4"] = user.ipv4
    if user.ipv6 is not None:
        own["static_ipv6"] = user.ipv6
    return own


def apply_overrides(base: EffectiveSettings, layers: Iterable[tuple[str, Overrides]]) -> EffectiveSettings:
    """``base`` under ``layers``, each an origin with its overrides, the layer with the highest precedence first."""
    sections: dict[str, dict[str, object]] = {"network": {}, "session": {}, "limits": {}}
    plain: dict[str, Any] = {}
    origins = dict(base.origins)
    taken: set[str] = set()
    for origin, overrides in layers:
        for name, value in overrides.items():
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
    changed: dict[str, Any] = {
        name: replace(getattr(base, name), **values) for name, values in sections.items() if values
    }
    return replace(base, **changed, **plain, origins=MappingProxyType(origins))
