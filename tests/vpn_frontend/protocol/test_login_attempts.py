# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.protocol import login_attempts
from vpn_frontend.protocol.login_attempts import MAX_STATE, LoginAttempts, StateSizeError

ASKED = frozenset({"answer"})


def test_failures_are_counted_by_context():
    logins = LoginAttempts(240)
    context, failures = logins.fail("", 0)
    assert failures == 1
    assert logins.fail(context, 1) == (context, 2)
    other, failures = logins.fail("", 1)
    assert other != context
    assert failures == 1


def test_a_context_that_the_client_invented_begins_a_new_login():
    logins = LoginAttempts(240)
    context, failures = logins.fail("x" * 5000, 0)
    assert failures == 1
    assert len(context) == 32
    assert logins.challenge("x", 0, "state", ASKED) != "x"


def test_a_login_ends_with_its_time():
    logins = LoginAttempts(240)
    context, _ = logins.fail("", 0)
    assert logins.fail(context, 239.9)[1] == 2
    renewed, failures = logins.fail(context, 240)
    assert failures == 1
    assert renewed != context
    assert len(logins) == 1


def test_a_challenge_keeps_its_state_for_the_rest_of_the_login_s_time():
    logins = LoginAttempts(240)
    context = logins.challenge("", 0, "state", ASKED)
    attempt = logins.find(context, 239)
    assert (attempt.state, attempt.asked, attempt.failures) == ("state", ASKED, 0)
    assert logins.challenge(context, 239, "next", ASKED) == context
    assert logins.find(context, 239.9).state == "next"
    assert logins.find(context, 240) is None
    assert len(logins) == 0


def test_failures_and_challenges_of_one_login_are_one_entry():
    logins = LoginAttempts(240)
    context, _ = logins.fail("", 0)
    assert logins.challenge(context, 1, "state", ASKED) == context
    assert logins.fail(context, 2) == (context, 2)
    assert logins.find(context, 2).state is None, "a failed challenge is over unless it is asked again"
    assert len(logins) == 1


@pytest.mark.parametrize("kind", ["fail", "challenge"])
def test_the_table_is_bounded(monkeypatch, kind):
    monkeypatch.setattr(login_attempts, "MAX_LOGINS", 3)
    logins = LoginAttempts(240)

    def begin(now):
        return logins.fail("", now)[0] if kind == "fail" else logins.challenge("", now, "state", ASKED)

    contexts = [begin(now) for now in range(5)]
    assert len(logins) == 3
    assert logins.find(contexts[4], 5) is not None
    assert logins.find(contexts[0], 5) is None


def test_wrong_passwords_do_not_evict_a_login_with_a_challenge(monkeypatch):
    monkeypatch.setattr(login_attempts, "MAX_LOGINS", 3)
    logins = LoginAttempts(240)
    context = logins.challenge("", 0, "state", ASKED)
    for now in range(10):
        logins.fail("", now)
    assert logins.find(context, 10).state == "state"
    assert len(logins) == 4


def test_a_state_too_large_is_refused():
    logins = LoginAttempts(240)
    logins.challenge("", 0, "x" * (MAX_STATE - 2), ASKED)
    with pytest.raises(StateSizeError):
        logins.challenge("", 0, "x" * MAX_STATE, ASKED)
    assert len(logins) == 1


def test_timed_out_logins_make_room():
    logins = LoginAttempts(240)
    logins.fail("", 0)
    logins.challenge("", 0, "state", ASKED)
    logins.fail("", 240)
    logins.challenge("", 240, "state", ASKED)
    assert len(logins) == 2


def test_an_ended_login_is_forgotten():
    logins = LoginAttempts(240)
    logins.end(logins.fail("", 0)[0])
    logins.end(logins.challenge("", 0, "state", ASKED))
    logins.end("never there")
    assert len(logins) == 0
