# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a virtual host that has its own, and what asks them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.login_ways import LoginWays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import Method
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


class HostLogins:
    """Whom each host asks. ``own`` is the server's: also that of hosts that are not in ``of_hosts``."""

    def __init__(
        self,
        auth: AuthSettings,
        own: HostAccounts,
        of_hosts: Mapping[str, HostAccounts],
        past_logins: PastLogins,
        events: EventSink,
    ) -> None:
        self._own = (own, LoginWays(auth, own.methods, past_logins, events))
        self._of_hosts = {
            name: (accounts, LoginWays(auth, accounts.methods, past_logins, events))
            for name, accounts in of_hosts.items()
        }

    def of(self, host: str) -> tuple[HostAccounts, LoginWays]:
        return self._of_hosts.get(host, self._own)

    def users_of(self, host: str) -> UserDirectory:
        return self.of(host)[0].users

    def set_groups(self, groups: Mapping[str, Overrides]) -> None:
        """As ``LoginWays.set_groups``, of every host."""
        for _, ways in (self._own, *self._of_hosts.values()):
            ways.set_groups(groups)
