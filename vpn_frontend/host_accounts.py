# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a virtual host that has its own, and what asks them."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.login_ways import LoginWays
from vpn_frontend.auth.user_throttle import UserThrottle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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


class Throttles:
    """The throttle of each host's users. They go on where a reload puts other rules in force."""

    def __init__(self, failures: SharedFailures | None) -> None:
        """``failures`` are a fleet's."""
        self._failures = failures
        self._of_hosts: dict[str, UserThrottle] = {}

    def of(self, host: str) -> UserThrottle:
        if host not in self._of_hosts:
            self._of_hosts[host] = UserThrottle(self._failures, host)
        return self._of_hosts[host]

    def keep(self, hosts: Collection[str]) -> None:
        """Forget those of other hosts."""
        self._of_hosts = {host: throttle for host, throttle in self._of_hosts.items() if host in hosts}


class HostLogins:
    """How each host asks the users of its accounts. ``auth`` is the server's."""

    def __init__(
        self,
        auth: AuthSettings,
        accounts: Accounts,
        past_logins: PastLogins,
        events: EventSink,
        throttles: Throttles,
    ) -> None:
        own = accounts.own
        throttles.keep({"", *accounts.of_hosts})
        self._own = (own, LoginWays(auth, own.methods, past_logins, events, throttles.of("")))
        self._of_hosts = {
            name: (of_host, LoginWays(auth, of_host.methods, past_logins, events, throttles.of(name)))
            for name, of_host in accounts.of_hosts.items()
        }

    def of(self, host: str) -> tuple[HostAccounts, LoginWays]:
        return self._of_hosts.get(host, self._own)

    def set_groups(self, groups: Mapping[str, Overrides]) -> None:
        """As ``LoginWays.set_groups``, of every host."""
        for _, ways in (self._own, *self._of_hosts.values()):
            ways.set_groups(groups)
