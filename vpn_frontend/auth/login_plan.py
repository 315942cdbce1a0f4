# SPDX-License-Identifier: GPL-3.0-or-later
"""Which methods of authentication may be combined, and in which sequence a login asks them. Pure.

``auth.methods`` are alternatives, ``auth.require`` are needed as well. A plan depends on these two lists alone, so a
virtual host or a group may have its own.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.certificate.method import CertificateFirst
from vpn_frontend.auth.composition import compose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vpn_frontend.auth.method import Method


class Kind(Enum):
    """What a method works from."""

    FORM = auto()  # user name and password of the first form
    CONNECTION = auto()  # what the connection itself proves; asks nothing
    TICKET = auto()  # a ticket or token of the client, from its first request on; asks nothing
    BROWSER = auto()  # a browser, from the client's first request on
    CODE = auto()  # a code of a user whom another method has accepted


KINDS: Mapping[str, Kind] = {
    "password": Kind.FORM,
    "pam": Kind.FORM,
    "radius": Kind.FORM,
    "ldap": Kind.FORM,
    "certificate": Kind.CONNECTION,
    "gssapi": Kind.TICKET,
    "bearer": Kind.TICKET,
    "oidc": Kind.BROWSER,
    "totp": Kind.CODE,
}


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """The methods of a login, by name. ``before`` and ``after`` are all needed, one of ``alternatives`` between them.

    ``has_form``: the login may begin with the form of user name and password. ``begins_at_init``: a method answers
    the client's first request already.
    """

    before: tuple[str, ...]
    alternatives: tuple[str, ...]
    after: tuple[str, ...]
    has_form: bool
    begins_at_init: bool

    @property
    def needs_certificate(self) -> bool:
        """True if no login goes without a certificate."""
        return "certificate" in self.before or self.alternatives == ("certificate",)

    def covers(self, other: LoginPlan) -> bool:
        """True if each login by this plan has passed what ``other`` asks for."""
        needed = {*other.before, *other.after}
        return all(
            needed <= (passed := {*self.before, *self.after, name}) and not passed.isdisjoint(other.alternatives)
            for name in self.alternatives
        )


def find_methods_problem(methods: Sequence[str]) -> str | None:
    """Why ``auth.methods`` cannot be used, for the operator. ``None``: it can."""
    if not methods:
        return "there is no method to log in with"
    if (problem := _find_repetition(methods)) is not None:
        return problem
    for name in _of_kind(methods, Kind.CODE):
        return f"{name} names no user: name it in auth.require, beside a method that does"
    return _find_rival_forms(methods)


def find_require_problem(methods: Sequence[str], require: Sequence[str]) -> str | None:
    """Why ``auth.require`` cannot be used with usable ``methods``, for the operator. ``None``: it can."""
    if (problem := _find_repetition(require)) is not None:
        return problem
    for name in require:
        if name in methods:
            return f"{name} is one of auth.methods already"
    for name in (*_of_kind(require, Kind.BROWSER), *_of_kind(require, Kind.TICKET)):
        return f"{name} begins a login: name it in auth.methods"
    if (problem := _find_rival_forms([*methods, *require])) is not None:
        return problem
    for name in _of_kind(require, Kind.FORM):
        if _of_kind(methods, Kind.BROWSER):
            return f"{name} takes a form at the beginning of a login, and auth.methods has a browser there"
        if _of_kind(methods, Kind.TICKET):
            return f"{name} takes a form at the beginning of a login, and auth.methods has a ticket there"
    return None


def plan_login(methods: Sequence[str], require: Sequence[str] = ()) -> LoginPlan:
    """Returns the plan of ``auth.methods`` and ``auth.require``. Raises ``ValueError`` for lists with a problem.

    What the connection proves comes first: it asks nothing, and a required certificate is asked for at once.
    """
    problem = find_methods_problem(methods) or find_require_problem(methods, require)
    if problem is not None:
        raise ValueError(problem)
    before = _of_kind(require, Kind.CONNECTION)
    proven = (*_of_kind(methods, Kind.CONNECTION), *_of_kind(methods, Kind.TICKET))
    named = (*methods, *require)
    return LoginPlan(
        before=before,
        alternatives=(*proven, *(name for name in methods if name not in proven)),
        after=tuple(name for name in require if name not in before),
        has_form=bool(_of_kind(named, Kind.FORM)),
        begins_at_init=any(KINDS[name] in (Kind.CONNECTION, Kind.TICKET, Kind.BROWSER) for name in named),
    )


def build_login(plan: LoginPlan, methods: Mapping[str, Method]) -> Method:
    """Returns the method that a login asks, made of ``methods`` by name."""
    before, alternatives, after = (
        [methods[name] for name in names] for names in (plan.before, plan.alternatives, plan.after)
    )
    login = compose(alternatives, after, before)
    return CertificateFirst(login) if plan.needs_certificate else login


def _of_kind(names: Sequence[str], kind: Kind) -> tuple[str, ...]:
    return tuple(name for name in names if KINDS[name] is kind)


def _find_repetition(names: Sequence[str]) -> str | None:
    return next((f"{name} is named twice" for name in names if names.count(name) > 1), None)


def _find_rival_forms(names: Sequence[str]) -> str | None:
    """Two methods that take the same form: one user's password would go to both, and a failure would be of neither."""
    rivals = _of_kind(names, Kind.FORM)
    if len(rivals) < 2:
        return None
    return f"{' and '.join(rivals)} would take one user name and password from the same form: name one of them"
