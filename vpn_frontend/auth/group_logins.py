# SPDX-License-Identifier: GPL-3.0-or-later
"""The logins of a server: by its own rules, and by those of the groups that have others. Pure.

A login is by the group that it chooses, before a secret is asked for. A member who logs in without choosing the group
has not passed its rules. That login is refused unless its rules ask for as much. Rules of a group that the server
cannot hold any more close the group: its members are refused, whatever they choose.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.auth.certificate.method import confirm_certificate
from vpn_frontend.auth.group_rules import merge_group_rules
from vpn_frontend.auth.login_plan import LoginPlan, find_methods_problem, find_require_problem, plan_login
from vpn_frontend.auth.result import Accepted, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vpn_frontend.auth.authenticator import Confirm
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.settings import AuthSettings, LoginRules, Overrides


def plan_of(rules: LoginRules) -> LoginPlan:
    """Raises ``ValueError`` for rules with a problem."""
    return plan_login(rules.methods, rules.require)


def find_rules_problem(auth: AuthSettings, rules: LoginRules) -> tuple[str, str] | None:
    """The key of a group's ``rules`` that cannot be used beside ``auth``, and why. ``None``: they can.

    Methods are opened at the start: those that the configuration names, and no others.
    """
    for key, names in (("methods", rules.methods), ("require", rules.require)):
        for name in names:
            if name not in auth.named_methods:
                known = ", ".join(auth.named_methods)
                return key, (
                    f"the server does not use {name} (it uses {known}): name it in auth or in a group of the "
                    "configuration file, and restart"
                )
    if (problem := find_methods_problem(rules.methods)) is not None:
        return "methods", problem
    if (problem := find_require_problem(rules.methods, rules.require)) is not None:
        return "require", problem
    if auth.totp.in_first_form and "totp" in rules.require and not plan_of(rules).has_form:
        return "require", "totp.in_first_form: no method of these logins has a form with user name and password"
    return None


def split_group_rules(
    auth: AuthSettings, groups: Mapping[str, Overrides]
) -> tuple[dict[str, LoginRules], dict[str, str]]:
    """Returns the rules by group, those of the configuration under those of ``groups``, and the problems by group.

    A group with a problem is in the latter alone.
    """
    usable: dict[str, LoginRules] = {}
    problems: dict[str, str] = {}
    for name, rules in merge_group_rules(auth, groups).items():
        problem = find_rules_problem(auth, rules)
        if problem is None:
            usable[name] = rules
        else:
            problems[name] = f"auth.{problem[0]}: {problem[1]}"
    return usable, problems


def make_confirm(auth: AuthSettings, closed: Collection[str] = ()) -> Confirm:
    """Returns the last check of accepted logins: the certificate's owner, and the rules of the user's groups.

    ``closed``: groups whose rules cannot be used.
    """
    plans = {group: plan_of(rules) for group, rules in auth.group_rules.items()}
    fields = CertificateFields(auth.certificate.user_field, auth.certificate.group_field)
    return partial(_confirm, plan_of(auth.rules), plans, frozenset(closed), fields)


def _confirm(
    default: LoginPlan,
    plans: Mapping[str, LoginPlan],
    closed: frozenset[str],
    fields: CertificateFields,
    login: LoginRequest,
    accepted: Accepted,
) -> Refused | None:
    if closed and not closed.isdisjoint(accepted.groups):
        return Refused(
            "Logins of your group are not possible at the moment. Please ask your administrator.",
            "group_closed",
            final=True,
            scored=False,
        )
    passed = plans.get(login.group, default)
    if passed.needs_certificate and (refused := confirm_certificate(fields, login, accepted.user)) is not None:
        return refused
    for group in accepted.groups:
        rules = plans.get(group)
        if rules is not None and not passed.covers(rules):
            return Refused(
                f"The group {group} needs another login. Choose it in the client, or add /{group} to the address.",
                "group_needs_other_login",
                scored=False,
            )
    return None
