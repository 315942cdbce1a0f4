# SPDX-License-Identifier: GPL-3.0-or-later
"""What logins ask at each host: by the rules of the configuration, and by those of groups made over the API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.auth.authenticator import Ways
from vpn_frontend.auth.group_logins import make_confirm, plan_of, split_group_rules
from vpn_frontend.auth.login_plan import build_login
from vpn_frontend.auth.throttled_method import ThrottledMethod
from vpn_frontend.auth.user_throttle import UserThrottle
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import Method
    from vpn_frontend.auth.throttled_method import PastLogins
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import AuthSettings, LoginRules, Overrides


class LoginWays:
    """``auth`` is the server's own; its rules of groups hold at every host. ``methods`` are those that it names.

    Logins by the same rules ask the same object, and all share one ``throttle``.
    """

    def __init__(
        self,
        auth: AuthSettings,
        methods: Mapping[str, Method],
        past_logins: PastLogins,
        events: EventSink,
        throttle: UserThrottle | None = None,
    ) -> None:
        self._auth = auth
        self._methods = methods
        self._past_logins = past_logins
        self._events = events
        self._throttle = UserThrottle() if throttle is None else throttle
        self._made: dict[LoginRules, Method] = {}
        self._rules: dict[str, LoginRules] = dict(auth.group_rules)
        self._closed: dict[str, str] = {}

    def set_groups(self, groups: Mapping[str, Overrides]) -> None:
        """Take the rules of groups made over the API. A group whose rules cannot be used is closed, and reported."""
        before = self._closed
        self._rules, self._closed = split_group_rules(self._auth, groups)
        for name, problem in self._closed.items():
            if before.get(name) != problem:
                self._events.emit(VpnEvent.BACKEND_FAILED, what=f"logins by the group {name}", error=problem)
        kept = {*self._rules.values()}
        self._made = {rules: method for rules, method in self._made.items() if rules in kept}

    def auth_of(self, host: AuthSettings) -> AuthSettings:
        """The settings of a host with the rules of the groups that hold now."""
        return host if host.group_rules == self._rules else replace(host, group_rules=self._rules)

    def make(self, host: AuthSettings) -> Ways:
        """What logins at a host ask from now on."""
        auth = self.auth_of(host)
        return Ways(
            self._method_of(auth.rules),
            {group: self._method_of(rules) for group, rules in auth.group_rules.items()},
            make_confirm(auth, self._closed),
        )

    def _method_of(self, rules: LoginRules) -> Method:
        found = self._made.get(rules)
        if found is None:
            login = build_login(plan_of(rules), self._methods)
            found = self._made[rules] = ThrottledMethod(login, self._throttle, self._past_logins)
        return found
