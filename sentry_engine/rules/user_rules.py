# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about users: number of clients, schedule, networks, countries and expiry. All that apply must accept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sentry_engine.addresses import contains
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.schedules import Window, is_open, next_change
from sentry_engine.verdict import Action, Reason, Verdict

CountryOf = Callable[[], str]  # of the request's address, empty: unknown; called only if a rule needs it
REFUSAL_TEXTS = {
    Reason.USER_EXPIRED: "This account has expired.",
    Reason.SCHEDULE: "This account may not connect at this time.",
    Reason.USER_NETWORK: "This account may not connect from this network.",
    Reason.USER_COUNTRY: "This account may not connect from this country.",
}


@dataclass(frozen=True, slots=True)
class UserRule:
    """Applies to its users and the members of its groups; to all users if it names neither."""

    id: str
    origin: Origin
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    max_same_clients: int | None = None
    schedule: tuple[Window, ...] = ()
    prefixes: Prefixes | None = None  # the only networks allowed
    countries: frozenset[str] = frozenset()  # the only countries allowed
    countries_not: frozenset[str] = frozenset()
    expires_at: float | None = None  # Unix time; its users are refused from then on
    description: str = ""

    def applies(self, user: str, groups: Sequence[str]) -> bool:
        if not self.users and not self.groups:
            return True
        return user in self.users or not self.groups.isdisjoint(groups)

    def judge(self, address: bytes, wall_now: float, country_of: CountryOf) -> Verdict | None:
        """The refusal by this rule, if any."""
        if self.expires_at is not None and wall_now >= self.expires_at:
            return Verdict(Action.REJECT, Reason.USER_EXPIRED, self.id)
        if not is_open(self.schedule, wall_now):
            opens = next_change(self.schedule, wall_now)
            return Verdict(Action.REJECT, Reason.SCHEDULE, self.id, None if opens is None else opens - wall_now)
        if self.prefixes is not None and not any(contains(n, m, address) for n, m in self.prefixes):
            return Verdict(Action.REJECT, Reason.USER_NETWORK, self.id)
        if self.countries or self.countries_not:
            country = country_of()
            if country in self.countries_not or (self.countries and country not in self.countries):
                return Verdict(Action.REJECT, Reason.USER_COUNTRY, self.id)
        return None


def judge_user(
    rules: Sequence[UserRule], user: str, groups: Sequence[str], address: bytes, wall_now: float, country_of: CountryOf
) -> Verdict | None:
    """The first refusal in the order of rules. ``address`` is packed, ``wall_now`` Unix time."""
    for rule in rules:
        if rule.applies(user, groups) and (refusal := rule.judge(address, wall_now, country_of)):
            return refusal
    return None


def limit_of(rules: Sequence[UserRule], user: str, groups: Sequence[str]) -> int | None:
    """The client limit of a user: rules that name the user win over rules for groups, over rules for all.

    Among rules of one kind the largest wins. 0: no limit. ``None``: no rule states one.
    """
    if not rules:
        return None
    named = [r for r in rules if user in r.users]
    grouped = [r for r in rules if not r.groups.isdisjoint(groups)]
    for_all = [r for r in rules if not r.users and not r.groups]
    for chosen in (named, grouped, for_all):
        limits = [r.max_same_clients for r in chosen if r.max_same_clients is not None]
        if limits:
            return 0 if 0 in limits else max(limits)
    return None
