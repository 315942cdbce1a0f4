# SPDX-License-Identifier: GPL-3.0-or-later
from vpn_frontend.protocol import login_attempts
from vpn_frontend.protocol.login_attempts import LoginAttempts


def test_failures_are_counted_by_context():
    attempts = LoginAttempts(240)
    context, failures = attempts.fail("", 0)
    assert failures == 1
    assert attempts.fail(context, 1) == (context, 2)
    other, failures = attempts.fail("", 1)
    assert other != context
    assert failures == 1


def test_a_context_of_the_client_s_own_invention_begins_a_new_login():
    attempts = LoginAttempts(240)
    context, failures = attempts.fail("x" * 5000, 0)
    assert failures == 1
    assert len(context) == 32


def test_a_login_too_old_begins_anew():
    attempts = LoginAttempts(240)
    context, _ = attempts.fail("", 0)
    assert attempts.fail(context, 239.9)[1] == 2
    renewed, failures = attempts.fail(context, 240)
    assert failures == 1
    assert renewed != context
    assert len(attempts) == 1


def test_the_table_is_bounded(monkeypatch):
    monkeypatch.setattr(login_attempts, "MAX_LOGINS", 3)
    attempts = LoginAttempts(240)
    contexts = [attempts.fail("", index)[0] for index in range(5)]
    assert len(attempts) == 3
    assert attempts.fail(contexts[4], 5)[1] == 2
    assert attempts.fail(contexts[0], 5)[1] == 1


def test_an_ended_login_is_forgotten():
    attempts = LoginAttempts(240)
    context, _ = attempts.fail("", 0)
    attempts.end(context)
    attempts.end("never there")
    assert len(attempts) == 0
