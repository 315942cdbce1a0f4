# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry feeds``: list, add and refresh."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ocsentry.api_client.client import ClientError
from ocsentry.cli.commands.feeds import list_feeds, refresh
from ocsentry.cli.invocation import CommandError

GOOD = {"id": "drop", "entries": 12, "age": 3700.0, "url": "https://lists.example/drop", "path": None, "problem": ""}
BAD = GOOD | {"id": "tor", "url": "https://lists.example/tor", "problem": "404 Not Found"}
LOCAL = GOOD | {"id": "own", "url": None, "path": "/etc/own.list"}


class Server:
    """Has three feeds; refreshing ``tor`` fails."""

    def __init__(self):
        self.posted = []

    def items(self, _resource):
        return [GOOD, BAD, LOCAL]

    def post(self, resource):
        self.posted.append(resource)
        if "tor" in resource:
            raise ClientError("404 Not Found")
        return {"feed": resource.split("/")[1].split(":")[0], "entries": 12, "changed": False}


@pytest.fixture
def printed():
    return []


@pytest.fixture
def cli(printed):
    return SimpleNamespace(
        server=Server(),
        as_json=False,
        emit=lambda _, text: printed.append(text),
        emit_table=lambda rows, _, empty: printed.append(rows or empty),
    )


def test_feeds_that_fail(cli, printed):
    list_feeds(cli, failing=True)
    assert [(row["id"], row["age"], row["source"]) for row in printed[0]] == [("tor", "1h 1m", BAD["url"])]


def test_a_refresh_of_all_tells_what_failed(cli, printed):
    with pytest.raises(CommandError, match=r"^tor: 404 Not Found$"):
        refresh(cli)
    assert cli.server.posted == ["feeds/drop:refresh", "feeds/tor:refresh"]
    assert printed == ["drop: 12 networks, unchanged"]


def test_a_feed_is_added_as_a_rule_file(command_line):
    (command_line.folder / "own.list").write_text("198.51.100.0/24\n")
    where = command_line.folder / "own.list"
    added = command_line.json("feeds", "add", "own", where, "--min-entries", "1")
    document = json.loads((command_line.folder / "rules" / "feed-own.json").read_text())
    assert added["file"].endswith("rules/feed-own.json")
    assert document["wolfsentry"]["feeds"] == [{"id": "own", "path": str(where), "min_entries": 1}]
    assert "exists" in command_line.fails("feeds", "add", "own", where)
    said = command_line.ok("explain", "198.51.100.7")
    assert "> feeds        198.51.100.0/24  rule own" in said
    assert "no server runs: by the rule files alone" in said


def test_a_feed_that_is_none_changes_nothing(command_line):
    assert "https" in command_line.fails("feeds", "add", "bad", "gopher://lists.example/drop")
    assert not (command_line.folder / "rules" / "feed-bad.json").exists()
