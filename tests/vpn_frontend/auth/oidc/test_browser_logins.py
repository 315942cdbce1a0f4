# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.auth.oidc import browser_logins
from vpn_frontend.auth.oidc.browser_logins import TOKEN_LIFETIME, BrowserLogins
from vpn_frontend.auth.oidc.identity import Identity

ALICE = Identity("alice", ("staff",))


@pytest.fixture
def logins():
    return BrowserLogins(240.0)


def begun(logins, now=0.0, browser="cookie"):
    login = logins.begin("vpn.example", None, now)
    login.browser = browser
    return login


def test_a_token_counts_once_in_its_own_login(logins):
    login, other = begun(logins), begun(logins)
    token = login.finish(ALICE, 0.0)
    assert token.isalnum()
    assert len(token) >= 32
    assert logins.redeem(other.context, token, 0.0) is None
    assert logins.redeem(login.context, token, 1.0) == ALICE
    assert logins.redeem(login.context, token, 1.0) is None


@pytest.mark.parametrize(
    ("token", "now"),
    [("", 0.0), ("x", 0.0), (None, TOKEN_LIFETIME), (None, 240.0)],
    ids=["none", "wrong", "old", "gone"],
)
def test_a_token_that_does_not_count(logins, token, now):
    login = begun(logins)
    right = login.finish(ALICE, 0.0)
    assert logins.redeem(login.context, right if token is None else token, now) is None
    assert logins.redeem(login.context, right, 0.0) is None, "one try"


def test_before_the_browser_is_back_no_token_counts(logins):
    assert logins.redeem(begun(logins).context, "", 0.0) is None


@pytest.mark.parametrize("cookie", ["", "another"])
def test_another_browser_cannot_come_back(logins, cookie):
    login = begun(logins)
    assert logins.find_returned(login.state, cookie, 0.0) is None
    assert logins.find_returned("another", "cookie", 0.0) is None
    assert logins.find_returned("", "cookie", 0.0) is None
    assert logins.find_returned(login.state, "cookie", 0.0) is login
    assert logins.find_returned(login.state, "cookie", 0.0) is None, "a state counts once"


def test_a_login_that_no_browser_began_cannot_come_back(logins):
    login = begun(logins, browser="")
    assert logins.find_returned(login.state, "", 0.0) is None


def test_the_table_is_bounded_and_forgets(logins, monkeypatch):
    monkeypatch.setattr(browser_logins, "MAX_LOGINS", 3)
    made = [begun(logins, float(number)) for number in range(5)]
    assert len(logins) == len(logins._contexts) == 3
    assert [logins.find(login.context, 4.0) is not None for login in made] == [False, False, True, True, True]
    begun(logins, 1000.0)
    assert len(logins) == len(logins._contexts) == 1
