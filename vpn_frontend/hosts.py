# SPDX-License-Identifier: GPL-3.0-or-later
"""The server itself and its virtual hosts: what connections to come are shown and asked.

Connections under way keep the host that they began with, and its rules.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.authenticator import Authenticator
from vpn_frontend.auth.result import Refused
from vpn_frontend.connections.host import Host
from vpn_frontend.connections.portal import certificate_fields, login_shapes, make_portal_config
from vpn_frontend.host_accounts import HostLogins, Throttles
from vpn_frontend.protocol.camouflage import Camouflage
from vpn_frontend.settings import HostSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_engine import Engine
    from vpn_frontend.auth.shared_failures import SharedFailures
    from vpn_frontend.auth.throttled_method import PastLogins
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.host_accounts import Accounts
    from vpn_frontend.ports import EventSink, RemoteLogin, UserRecord
    from vpn_frontend.protocol.connection import PortalConfig
    from vpn_frontend.sessions.effective_settings import SettingsResolver
    from vpn_frontend.sessions.table import SessionTable
    from vpn_frontend.settings import VpnSettings
    from vpn_frontend.tls_files import TlsFiles


class Hosts:
    """``by_name`` has each host, the server itself as ``""``; it changes in place."""

    def __init__(
        self,
        settings: VpnSettings,
        accounts: Accounts,
        tls: TlsFiles,
        *,
        engine: Engine,
        sessions: SessionTable,
        resolver: SettingsResolver,
        journal: PastLogins,
        events: EventSink,
        failures: SharedFailures | None = None,
    ) -> None:
        """``tls`` has the certificates in use, of the hosts of ``settings``. ``failures`` are a fleet's."""
        self._throttles = Throttles(failures)
        self.by_name: dict[str, Host] = {}
        self._tls = tls
        self._engine = engine
        self._table = sessions
        self._resolver = resolver
        self._journal = journal
        self._events = events
        self.renew(settings, accounts)

    def renew(self, settings: VpnSettings, accounts: Accounts) -> None:
        """Replace all hosts. A name that is gone leads to the server itself."""
        self._settings = settings
        self._logins = HostLogins(settings.auth, accounts, self._journal, self._events, self._throttles)
        self._logins.set_groups(self._resolver.api_groups())
        made = {tls.name: self._make_host(host, tls) for host, tls in self._pairs()}
        self.by_name.clear()
        self.by_name.update(made)

    def _pairs(self) -> Iterator[tuple[HostSettings, TlsHost]]:
        own = HostSettings("", self._settings.auth)
        return zip((own, *self._settings.hosts), self._tls.hosts, strict=True)

    def _make_host(self, settings: HostSettings, tls: TlsHost) -> Host:
        accounts, ways = self._logins.of(settings.name)
        auth, hidden = ways.auth_of(settings.auth), self._settings.camouflage
        camouflage = Camouflage(hidden.secret, hidden.realm, self._table.knows_cookie) if hidden.secret else None
        return Host(
            settings.name,
            self._offer_groups(make_portal_config(self._settings, auth, tls, camouflage), settings),
            Authenticator(
                users=accounts.users,
                engine=self._engine,
                ways=ways.make(auth),
                events=self._events,
                settings_files=accounts.settings_files,
                find_refusal=partial(self._find_refusal, settings.name),
                members_of=settings.groups,
            ),
            tls.clients.listed,
            certificate_fields(auth),
        )

    def renew_groups(self) -> None:
        """Logins to come are by the present rules of groups. Those under way end by the rules that they began with."""
        self._logins.set_groups(self._resolver.api_groups())
        for settings, _ in self._pairs():
            self.by_name[settings.name].authenticator.ways = self._logins.of(settings.name)[1].make(settings.auth)
        self.renew_portals()

    def renew_portals(self) -> None:
        """Connections to come offer the present groups, and are told the present certificates."""
        for settings, tls in self._pairs():
            host, auth = self.by_name[settings.name], self._logins.of(settings.name)[1].auth_of(settings.auth)
            present = replace(
                host.portal,
                certificate_sha1=tls.certificates[0].sha1,
                group_shapes=login_shapes(auth),
                has_browser_pages="oidc" in auth.named_methods,
            )
            host.portal = self._offer_groups(present, settings)
            host.revoked = tls.clients.listed

    def show_pre_login_banner(self, text: str) -> None:
        """Connections to come show ``text`` with their first form."""
        for host in self.by_name.values():
            host.portal = replace(host.portal, pre_login_banner=text)

    def _offer_groups(self, portal: PortalConfig, host: HostSettings) -> PortalConfig:
        """``portal`` with the groups of the configuration and of the API, or with the host's own."""
        labels = self._resolver.labels()
        if host.groups:
            shown = tuple((name, labels[name]) for name in host.groups if name in labels)
            portal = replace(portal, any_group=False)
            return replace(portal, groups=host.groups, labels=shown, path_groups=frozenset(host.groups))
        offered = tuple(dict.fromkeys([*host.auth.groups, *labels]))
        known = frozenset(self._resolver.group_names())
        return replace(portal, groups=offered, labels=tuple(labels.items()), path_groups=known)

    def _find_refusal(
        self, host: str, user: UserRecord, groups: tuple[str, ...], remote: RemoteLogin | None
    ) -> Refused | None:
        refusal = self._table.find_refusal(user, groups, remote, host)
        return None if refusal is None else Refused(refusal.text, refusal.reason.value, final=True)
