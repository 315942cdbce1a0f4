# SPDX-License-Identifier: GPL-3.0-or-later
"""The logins of a server: by its own rules, and by those of the groups that have others. Pure.

A login is by the group that it chooses, before a secret is asked for. A member who logs in without choosing the group
has not passed its rules. That login is refused unless its rules ask for as much.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate_identity import CertificateFields
from vpn_frontend.auth.client_certificate import confirm_certificate
from vpn_frontend.auth.login_plan import LoginPlan, plan_login
from vpn_frontend.auth.result import Accepted, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.authenticator import Confirm
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.settings import AuthSettings, LoginRules


def plan_of(rules: LoginRules) -> LoginPlan:
    """Raises ``ValueError`` for rules with a problem."""
    return plan_login(rules.methods, rules.require)


def make_confirm(auth: AuthSettings) -> Confirm:
    """Returns the last check of accepted logins: the certificate's owner, and the rules of the user's groups."""
    plans = {group: plan_of(rules) for group, rules in auth.group_rules.items()}
    fields = CertificateFields(auth.certificate.user_field, auth.certificate.group_field)
    return partial(_confirm, plan_of(auth.rules), plans, fields)


def _confirm(
    default: LoginPlan,
    plans: Mapping[str, LoginPlan],
    fields: CertificateFields,
    login: LoginRequest,
    accepted: Accepted,
) -> Refused | None:
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
