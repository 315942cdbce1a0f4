# SPDX-License-Identifier: GPL-3.0-or-later
"""``operations`` and ``sessions kill``: what is asked of the server, and what is said."""

from __future__ import annotations

import pytest

from ocsentry.cli.commands import operations, sessions
from ocsentry.cli.invocation import CommandError
from tests.ocsentry.cli.commands.activity.test_history import Cli

FOUND = {
    "id": "o1",
    "kind": "blocks_import",
    "state": "cancelled",
    "percent": None,
    "result": {"created": 256, "errors": []},
}


def test_an_operation_shows_what_stays():
    cli = Cli(get=FOUND)
    operations.show(cli, "o1")
    assert cli.said[0].splitlines()[-1].split() == ["result.created", "256"]
    assert cli.asked == [("get", "operations/o1", {})]


def test_filters_and_a_cancellation_are_sent():
    cli = Cli(each=iter([FOUND]), delete=None)
    cli.emit_table = lambda rows, columns, empty: cli.said.append(rows)
    operations.list_operations(cli, state="running", kind=None)
    operations.cancel(cli, "o1")
    assert cli.said == [[FOUND], "cancelled o1"]
    assert cli.asked == [("each", "operations", {"state": "running"}), ("delete", "operations/o1", {})]


def test_all_sessions_of_a_user_end_with_a_reason():
    cli = Cli(delete={"sessions_cut": 1})
    sessions.kill(cli, user="alice", reason="Maintenance", dry_run=True)
    assert cli.asked == [("delete", "sessions", {"user": "alice", "reason": "Maintenance", "dry_run": True})]
    assert cli.said == ["would end 1 session of alice"]
    for wrong in ({}, {"session": "s1", "user": "alice"}):
        with pytest.raises(CommandError, match="--user"):
            sessions.kill(cli, **wrong)
