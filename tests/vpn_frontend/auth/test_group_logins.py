# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address

import pytest

from lab.authority import Authority
from vpn_frontend.auth.group_logins import find_rules_problem, make_confirm, plan_of, split_group_rules
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted
from vpn_frontend.ports import UserRecord
from vpn_frontend.settings import AuthSettings, LoginRules, TotpSettings

CERTIFICATE = LoginRules(require=("certificate",))
CODE = LoginRules(require=("totp",))
BOTH = LoginRules(require=("certificate", "totp"))
PASSWORD = LoginRules()
EITHER = LoginRules(("password", "certificate"))
ONLY_CERTIFICATE = LoginRules(("certificate",))
BROWSER = LoginRules(("oidc",))


@pytest.mark.parametrize(
    ("passed", "asked", "covered"),
    [
        (PASSWORD, PASSWORD, True),
        (CERTIFICATE, PASSWORD, True),
        (BOTH, CERTIFICATE, True),
        (BOTH, CODE, True),
        (CERTIFICATE, ONLY_CERTIFICATE, True),
        (PASSWORD, EITHER, True),
        (PASSWORD, CERTIFICATE, False),
        (EITHER, PASSWORD, False),
        (EITHER, ONLY_CERTIFICATE, False),
        (CERTIFICATE, CODE, False),
        (CODE, CERTIFICATE, False),
        (BROWSER, PASSWORD, False),
        (ONLY_CERTIFICATE, CERTIFICATE, False),
    ],
    ids=lambda value: (
        " and ".join((" or ".join(value.methods), *value.require)) if value.__class__ is LoginRules else ""
    ),
)
def test_which_logins_pass_the_rules_of_others(passed, asked, covered):
    assert plan_of(passed).covers(plan_of(asked)) is covered


@pytest.fixture(scope="module")
def der(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("alice").der


def reason(confirm, groups, *, by="", certificate=b""):
    login = LoginRequest("alice", "", by, ip_address("192.0.2.1"), peer_certificate=certificate)
    refused = confirm(login, Accepted(UserRecord("alice"), groups))
    return None if refused is None else refused.reason


def test_a_member_has_to_log_in_by_the_rules_of_each_group(der):
    confirm = make_confirm(AuthSettings(group_rules={"vault": CERTIFICATE, "codes": CODE, "plain": PASSWORD}))
    assert reason(confirm, ()) is None
    assert reason(confirm, ("staff", "plain")) is None
    assert reason(confirm, ("staff", "vault")) == "group_needs_other_login"
    assert reason(confirm, ("staff", "vault"), certificate=der) == "group_needs_other_login", "it was not asked for"
    assert reason(confirm, ("vault", "plain"), by="vault", certificate=der) is None
    assert reason(confirm, ("plain", "vault"), by="plain") == "group_needs_other_login"
    assert reason(confirm, ("vault", "codes"), by="vault", certificate=der) == "group_needs_other_login"


def test_a_login_that_needs_a_certificate_is_compared_with_it(der):
    confirm = make_confirm(AuthSettings(group_rules={"vault": CERTIFICATE, "plain": PASSWORD}))
    assert reason(confirm, ("vault",), by="vault") == "certificate_malformed"
    stricter = make_confirm(AuthSettings(require=("certificate",), group_rules={"plain": PASSWORD}))
    assert reason(stricter, ()) == "certificate_malformed"
    assert reason(stricter, (), certificate=der) is None
    assert reason(stricter, ("plain",), by="plain") is None


def test_what_tls_asks_for_and_which_methods_are_made():
    auth = AuthSettings(group_rules={"vault": BOTH, "browser": BROWSER})
    assert auth.named_methods == ("password", "certificate", "totp", "oidc")
    assert auth.asks_for_certificates
    assert not AuthSettings(group_rules={"codes": CODE}).asks_for_certificates


AUTH = AuthSettings(require=("totp",), group_rules={"vault": BOTH, "browser": LoginRules(("oidc",), ("totp",))})


def test_rules_of_the_api_are_over_those_of_the_configuration_key_by_key():
    groups = {"vault": {"auth": {"require": ()}}, "guests": {"auth": {"methods": ("oidc",)}}, "staff": {"label": "x"}}
    usable, problems = split_group_rules(AUTH, groups)
    assert usable == {
        "vault": LoginRules(),
        "browser": LoginRules(("oidc",), ("totp",)),
        "guests": LoginRules(("oidc",), ("totp",)),
    }
    assert problems == {}


@pytest.mark.parametrize(
    ("rules", "key", "words"),
    [
        (LoginRules(("ldap",)), "methods", "does not use ldap"),
        (LoginRules(("password",), ("radius",)), "require", "does not use radius"),
        (LoginRules(()), "methods", "no method"),
        (LoginRules(("totp",)), "methods", "names no user"),
        (LoginRules(("password",), ("oidc",)), "require", "begins a login"),
        (LoginRules(("oidc",), ("password",)), "require", "a browser there"),
        (LoginRules(("password", "password")), "methods", "named twice"),
    ],
)
def test_rules_that_cannot_be_held_are_refused_in_words(rules, key, words):
    found, text = find_rules_problem(AUTH, rules)
    assert (found, words in text) == (key, True), text


def test_a_code_in_the_first_form_needs_a_form():
    auth = AuthSettings(("password", "oidc"), ("totp",), totp=TotpSettings(in_first_form=True))
    assert find_rules_problem(auth, LoginRules(("password",), ("totp",))) is None
    key, text = find_rules_problem(auth, LoginRules(("oidc",), ("totp",)))
    assert (key, "in_first_form" in text) == ("require", True)


def test_a_group_whose_rules_cannot_be_held_any_more_lets_none_of_its_members_in():
    usable, problems = split_group_rules(AUTH, {"old": {"auth": {"methods": ("ldap",)}}})
    assert ("old" in usable, list(problems)) == (False, ["old"])
    confirm = make_confirm(AUTH, problems)
    for chosen in ("", "old"):
        assert reason(confirm, ("staff", "old"), by=chosen) == "group_closed"
    assert reason(confirm, ("staff",)) is None
