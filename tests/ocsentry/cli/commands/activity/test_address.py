# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry address``: the parts of its answer. ``docs/commands.md`` has an example of a server's own answer."""

from __future__ import annotations

import pytest

from ocsentry.cli.commands.activity.address import address, tables_of
from ocsentry.cli.invocation import CommandError, Invocation

PENALTY = {"network": "198.51.100.7/32", "until": None, "strikes": 2, "reason": "auth_failure", "rule_id": "guessing"}
SESSION = {"id": "s1", "user": "alice", "counters": {"rx_bytes": 1500, "tx_bytes": 20}}
RECORD = {"id": "s0", "user": "alice", "rx_bytes": 10, "tx_bytes": 3_000_000}
DECIDED = {"at": "t1", "kind": "decision", "fields": {"verdict": "reject", "event": "connect"}}
NOTHING = {"penalty": None, "blocks": [], "sessions": [], "history": [], "decisions": []}


def parts(**more):
    return {title: rows for title, rows, _ in tables_of(NOTHING | more) if rows}


def test_what_the_server_does_not_know_has_no_table():
    assert parts() == {}


def test_each_part_has_its_rows():
    found = parts(penalty=PENALTY, sessions=[SESSION], history=[RECORD], decisions=[DECIDED])
    assert list(found) == ["penalty", "live sessions", "latest sessions", "latest verdicts"]
    assert found["penalty"] == [PENALTY]
    assert [(row["received"], row["sent"]) for row in found["live sessions"]] == [("1.5 kB", "20 B")]
    assert [(row["received"], row["sent"]) for row in found["latest sessions"]] == [("10 B", "3 MB")]
    assert found["latest verdicts"][0]["verdict"] == "reject"


def test_what_is_no_address_is_not_asked_for():
    with pytest.raises(CommandError, match=r"'\.\./users' is not an IPv4 or IPv6 address"):
        address(Invocation(), "../users")


def test_without_a_server_it_says_so(command_line):
    done = command_line.run("address", "198.51.100.7")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
