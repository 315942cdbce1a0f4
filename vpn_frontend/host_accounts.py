# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a virtual host that has its own, and what asks them."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.login_ways import LoginWays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import Method
    from vpn_frontend.auth.shared_failures import SharedFailures
    from vpn_frontend.auth.throttled_method import PastLogins
    from vpn_frontend.ports import EventSink, SettingsFiles, UserDirectory
    from vpn_frontend.settings import AuthSettings, Overrides


@dataclass(frozen=True, slots=True)
class HostAccounts:
    """``methods`` ask ``users``. ``settings_files`` are read at a login; ``None``: there are none."""

    users: UserDirectory
    methods: Mapping[str, Method]
    settings_files: SettingsFiles | None = None


NO_HOST_ACCOUNTS: Mapping[str, HostAccounts] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Accounts:
    """``own`` are the server's: also those of hosts that are not in ``of_hosts``."""

    own: HostAccounts
    of_hosts: Mapping[str, HostAccounts] = field(default_factory=lambda: NO_HOST_ACCOUNTS)

    def of(self, host: str) -> HostAccounts:
        return self.of_hosts.get(host, self.own)


class HostLogins:
    """How each host asks the users of its accounts. ``auth`` is the server's, ``failures`` are a fleet's."""

    def __init__(
        self,
        auth: AuthSettings,
        accounts: Accounts,
        past_logins: PastLogins,
        events: EventSink,
        failures: SharedFailures | None = None,
    ) -> None:
        own = accounts.own
        self._own = (own, LoginWays(auth, own.methods, past_logins, events, failures))
        self._of_hosts = {
            name: (of_host, LoginWays(auth, of_host.methods, past_logins, events, failures))
            for name, of_host in accounts.of_hosts.items()
        }

    def of(self, host: str) -> tuple[HostAccounts, LoginWays]:
        return self._of_hosts.get(host, self._own)

    def set_groups(self, groups: Mapping[str, Overrides]) -> None:
        """As ``LoginWays.set_groups``, of every host."""
        for _, ways in (self._own, *self._of_hosts.values()):
            ways.set_groups(groups)
