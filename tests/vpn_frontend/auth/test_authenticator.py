# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address

import pytest

from sentry_engine import Action, Reason, Verdict
from vpn_frontend.auth.authenticator import WRONG, Accepted, Authenticator, Refused, Unavailable, render_refusal
from vpn_frontend.auth.password import PasswordChecker, hash_password
from vpn_frontend.protocol.config_auth import Device
from vpn_frontend.protocol.connection import CheckLogin
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

HERE = ip_address("192.0.2.1")
STRICT = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [],
        "events": [{"label": "auth_failure", "max_rate_per_second": 2, "penalty_duration_sec": 60}],
    }
}


def login(username="alice", password="secret", group=""):
    return CheckLogin(username, password, group, Device(), "agent")


@pytest.fixture
def make_authenticator(users, make_engine):
    """An authenticator over the four users; the engine and events are its attributes."""
    checkers = []

    def make(document=None):
        checkers.append(PasswordChecker(threads=1))
        return Authenticator(
            users=MemoryDirectory(users.values()),
            engine=make_engine(document),
            passwords=checkers[-1],
            events=MemoryEvents(),
        )

    yield make
    for checker in checkers:
        checker.close()


@pytest.mark.asyncio
async def test_a_right_password_lets_in(make_authenticator, users):
    authenticator = make_authenticator()
    assert await authenticator.check(login(), HERE) == Accepted(users["alice"], ("staff", "ops"))
    assert await authenticator.check(login(group="ops"), HERE) == Accepted(users["alice"], ("ops", "staff"))
    [accepted, _] = authenticator._events.of("login_accepted")
    assert accepted == {"user": "alice", "address": HERE, "user_agent": "agent"}


@pytest.mark.asyncio
async def test_nobody_learns_who_exists(make_authenticator):
    authenticator = make_authenticator()
    for wrong in (login(password="other"), login("nobody"), login("gone", "other"), login("old", "other"), login("")):
        assert await authenticator.check(wrong, HERE) == Refused(WRONG, "wrong_password")


@pytest.mark.asyncio
async def test_who_knows_the_password_is_told_what_is_wrong(make_authenticator):
    authenticator = make_authenticator()
    assert (await authenticator.check(login("gone"), HERE)).reason == "user_disabled"
    assert (await authenticator.check(login("old"), HERE)).reason == "user_expired"
    assert (await authenticator.check(login("bob", group="staff"), HERE)).reason == "not_a_member"


@pytest.mark.asyncio
async def test_failures_that_the_policy_punishes_are_final_and_say_how_long(make_authenticator):
    authenticator = make_authenticator(STRICT)
    first = [await authenticator.check(login(password="x"), HERE) for _ in range(2)]
    assert [refused.final for refused in first] == [False, False]
    third = await authenticator.check(login(password="x"), HERE)
    assert third.final
    assert third.reason == "rate_limit"
    assert "60 seconds" in third.text
    elsewhere = await authenticator.check(login(password="x"), ip_address("192.0.2.2"))
    assert not elsewhere.final


@pytest.mark.asyncio
async def test_a_source_blocked_meanwhile_is_refused_with_the_right_password(make_authenticator):
    authenticator = make_authenticator()
    authenticator._engine.block("192.0.2.0/24", rule_id="block:1")
    refused = await authenticator.check(login(), HERE)
    assert refused == Refused("Access from your address is blocked.", "rule", final=True)


@pytest.mark.asyncio
async def test_a_directory_that_fails_refuses_nobody_and_lets_nobody_in(make_authenticator):
    authenticator = make_authenticator()
    authenticator._users.error = ConnectionError("database is gone")
    assert isinstance(await authenticator.check(login(), HERE), Unavailable)
    assert isinstance(await authenticator.find("alice"), Unavailable)
    assert len(authenticator._events.of("backend_failed")) == 2


@pytest.mark.asyncio
async def test_a_user_is_looked_at_again_for_each_tunnel(make_authenticator, users):
    authenticator = make_authenticator()
    assert await authenticator.find("alice") == users["alice"]
    assert (await authenticator.find("gone")).reason == "user_disabled"
    assert (await authenticator.find("old")).reason == "user_expired"
    assert (await authenticator.find("nobody")).reason == "user_unknown"


@pytest.mark.parametrize(
    ("wait", "text"), [(None, "blocked"), (float("inf"), "blocked"), (0.2, "in 1 seconds"), (59.5, "in 60 seconds")]
)
def test_a_refusal_says_until_when(wait, text):
    assert text in render_refusal(Verdict(Action.RATE_LIMITED, Reason.PENALTY, "secret-rule", wait))
    assert "secret-rule" not in render_refusal(Verdict(Action.RATE_LIMITED, Reason.PENALTY, "secret-rule", wait))


@pytest.mark.asyncio
async def test_only_what_was_right_is_known(users, make_engine):
    directory, passwords = MemoryDirectory(users.values()), PasswordChecker(threads=1, remember=60)
    authenticator = Authenticator(users=directory, engine=make_engine(), passwords=passwords, events=MemoryEvents())
    first = await authenticator.check(login(), HERE)
    assert authenticator.check_known(login(), HERE) is None  # the directory has to be asked
    directory.recalls = True
    assert authenticator.check_known(login(), HERE) == first
    for unknown in (login(password="other"), login("nobody")):
        assert authenticator.check_known(unknown, HERE) is None
    directory.users["alice"] = replace(users["alice"], enabled=False)
    assert authenticator.check_known(login(), HERE).reason == "user_disabled"
    assert authenticator.recall("alice").reason == "user_disabled"
    directory.users["alice"] = replace(users["alice"], password_hash=hash_password("secret"))
    assert authenticator.check_known(login(), HERE) is None
    passwords.close()
