# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address
from itertools import permutations
from typing import get_args

import pytest

from tests.vpn_frontend.auth.scripted import ALICE, Scripted, outcome_of
from vpn_frontend.auth.login_plan import (
    KINDS,
    build_login,
    find_methods_problem,
    find_require_problem,
    plan_login,
)
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted, Refused
from vpn_frontend.settings import MethodName

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        ([], "no method"),
        (["password", "password"], "password is named twice"),
        (["totp"], "totp names no user"),
        (["password", "totp"], "totp names no user"),
        (["password", "radius"], "password and radius would take"),
        (["certificate", "ldap", "pam"], "ldap and pam would take"),
    ],
)
def test_methods_that_cannot_be_used(methods, text):
    assert text in find_methods_problem(methods)
    with pytest.raises(ValueError, match=text):
        plan_login(methods)


@pytest.mark.parametrize(
    ("methods", "require", "text"),
    [
        (["password"], ["totp", "totp"], "totp is named twice"),
        (["password"], ["password"], "password is one of auth.methods already"),
        (["password"], ["oidc"], "oidc begins a login"),
        (["password"], ["gssapi"], "gssapi begins a login"),
        (["password"], ["radius"], "password and radius would take"),
        (["certificate"], ["password", "pam"], "password and pam would take"),
        (["oidc"], ["password"], "password takes a form"),
        (["gssapi"], ["ldap"], "ldap takes a form"),
        (["certificate", "oidc"], ["pam"], "pam takes a form"),
    ],
)
def test_requirements_that_cannot_be_used(methods, require, text):
    assert find_methods_problem(methods) is None
    assert text in find_require_problem(methods, require)


@pytest.mark.parametrize(
    ("methods", "require", "sequence", "has_form", "begins_at_init"),
    [
        (["password"], [], "password", True, False),
        (["certificate"], [], "certificate", False, True),
        (["oidc"], [], "oidc", False, True),
        (["password"], ["totp"], "password, totp", True, False),
        (["certificate"], ["totp"], "certificate, totp", False, True),
        (["password"], ["certificate"], "certificate, password", True, True),
        (["password"], ["totp", "certificate"], "certificate, password, totp", True, True),
        (["certificate"], ["password"], "certificate, password", True, True),
        (["password", "certificate"], [], "certificate or password", True, True),
        (["password", "gssapi"], ["totp"], "gssapi or password, totp", True, True),
        (["oidc", "gssapi", "certificate"], [], "certificate or gssapi or oidc", False, True),
        (["password", "oidc"], ["certificate"], "certificate, password or oidc", True, True),
    ],
)
def test_the_sequence_of_a_login(methods, require, sequence, has_form, begins_at_init):
    plan = plan_login(methods, require)
    assert ", ".join([*plan.before, " or ".join(plan.alternatives), *plan.after]) == sequence
    assert (plan.has_form, plan.begins_at_init) == (has_form, begins_at_init)


def test_each_combination_is_either_refused_or_makes_a_plan():
    for size in range(3):
        for methods in permutations(KINDS, size):
            for require in [(), *((name,) for name in KINDS)]:
                problem = find_methods_problem(methods) or find_require_problem(methods, require)
                if problem is None:
                    plan = plan_login(methods, require)
                    assert sorted((*plan.before, *plan.alternatives, *plan.after)) == sorted((*methods, *require))
                    assert plan.has_form or plan.begins_at_init, "a client has a way to begin"


@pytest.mark.asyncio
async def test_a_login_asks_the_methods_of_its_plan():
    asked = []

    class Named(Scripted):
        def begin(self, login):
            asked.append(self.name)
            return super().begin(login)

    refused = Refused("No.", "no")
    methods = {name: Named(name=name) for name in KINDS}
    methods["password"].outcome = refused
    login = build_login(plan_login(["password", "oidc"], ["totp", "certificate"]), methods)
    assert await outcome_of(login.begin(LOGIN)) == Accepted(ALICE, ALICE.groups)
    assert asked == ["certificate", "password", "oidc", "totp"]
    methods["totp"].outcome = refused
    assert await outcome_of(login.begin(LOGIN)) == refused


def test_every_word_has_a_kind():
    assert set(get_args(MethodName)) <= KINDS.keys()
