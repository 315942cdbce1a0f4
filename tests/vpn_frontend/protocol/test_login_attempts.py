# SPDX-License-Identifier: GPL-3.0-or-later
from vpn_frontend.protocol import login_attempts
from vpn_frontend.protocol.login_attempts import LoginTable


def test_failures_are_counted_by_context():
    table = LoginTable(240)
    context, failures = table.fail("", 0)
    assert failures == 1
    assert table.fail(context, 1) == (context, 2)
    other, failures = table.fail("", 1)
    assert other != context
    assert failures == 1


def test_a_context_of_the_client_s_own_invention_begins_a_new_login():
    table = LoginTable(240)
    context, failures = table.fail("x" * 5000, 0)
    assert failures == 1
    assert len(context) == 32


def test_a_login_too_old_begins_anew():
    table = LoginTable(240)
    context, _ = table.fail("", 0)
    assert table.fail(context, 239.9)[1] == 2
    renewed, failures = table.fail(context, 240)
    assert failures == 1
    assert renewed != context
    assert len(table) == 1


def test_the_table_is_bounded(monkeypatch):
    monkeypatch.setattr(login_attempts, "MAX_LOGINS", 3)
    table = LoginTable(240)
    contexts = [table.fail("", index)[0] for index in range(5)]
    assert len(table) == 3
    assert table.fail(contexts[4], 5)[1] == 2
    assert table.fail(contexts[0], 5)[1] == 1


def test_an_ended_login_is_forgotten():
    table = LoginTable(240)
    context, _ = table.fail("", 0)
    table.end(context)
    table.end("never there")
    assert len(table) == 0
