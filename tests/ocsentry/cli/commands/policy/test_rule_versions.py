# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry rules apply`` and its neighbours: what they send, and what they print."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocsentry.cli.commands.policy.rule_versions import apply, diff, read_document, render_changes, rollback
from ocsentry.cli.invocation import CommandError

ANSWER = {"version": 7, "rules": 3, "sessions_cut": 1, "confirm_by": None, "canary": ["n1"]}


@pytest.fixture
def sent():
    return []


@pytest.fixture
def printed():
    return []


@pytest.fixture
def cli(sent, printed, monkeypatch):
    monkeypatch.delenv("SSH_CLIENT", raising=False)

    def post(resource, body=None, **query):
        sent.append((resource, body, {name: value for name, value in query.items() if value is not None}))
        return ANSWER | {"confirm_by": "2030-01-01T00:00:00Z"} if (body or {}).get("confirm_within") else ANSWER

    server = SimpleNamespace(post=post, etag=lambda resource: f'"{resource}"')
    return SimpleNamespace(server=server, emit=lambda _, text: printed.append(text))


def test_apply_sends_the_version_that_it_knows(cli, sent, printed):
    apply(cli, confirm_within="1m", reason="Why")
    body = {"document": None, "confirm_within": 60, "reason": "Why"}
    assert sent == [("policy/apply", body, {"etag": '"policy"'})]
    assert printed[0].splitlines() == [
        "policy version 7 in force; 1 session disconnected",
        "rolled back at 2030-01-01T00:00:00Z unless you run: ocsentry rules confirm",
    ]


def test_a_canary_says_where_it_is_in_force_and_how_it_ends(cli, sent, printed):
    apply(cli, confirm_within="1m", canary=["n1"])
    assert sent[0][1]["canary"] == ["n1"]
    assert printed[0].splitlines() == [
        "in force on n1 only; 1 session disconnected on this node",
        "withdrawn at 2030-01-01T00:00:00Z unless you run: ocsentry rules confirm",
        "watch it: ocsentry nodes canary; withdraw it: ocsentry rules rollback",
    ]


def test_dry_run(cli, sent, printed):
    rollback(cli, 3, dry_run=True)
    assert sent[0][1:] == (
        {"version": 3, "confirm_within": None, "reason": ""},
        {"etag": '"policy"', "dry_run": True},
    )
    assert printed == ["3 rules; 1 session would be disconnected"]


def test_an_unreadable_document(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        read_document(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(CommandError, match="not JSON"):
        read_document(tmp_path / "bad.json")


def test_changes_are_shown_with_their_diffs():
    changes = [
        {"source": "api", "name": "a", "kind": "changed", "diff": "-x\n+y\n"},
        {"source": "file", "name": "/r/b.json", "kind": "removed", "diff": None},
    ]
    assert render_changes(changes).splitlines() == [
        "changed rule a",
        "-x",
        "+y",
        "removed file /r/b.json",
        "(too large to compare)",
    ]


def test_no_difference(cli, printed):
    cli.server.post = lambda *_, **__: {"changes": []}
    diff(cli)
    assert printed == ["no difference"]
