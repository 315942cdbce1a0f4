# SPDX-License-Identifier: GPL-3.0-or-later
"""``events``, ``audit``, ``penalties``: filters, and what is asked of the server."""

from __future__ import annotations

import json

import pytest

from ocsentry.cli.commands.activity import history
from ocsentry.cli.commands.policy.rule_changes import add, edit
from ocsentry.cli.invocation import CommandError

EVENTS = [
    {"at": "t1", "kind": "gap", "fields": {"missed": 3}},
    {"at": "t2", "kind": "login_refused", "fields": {"user": "alice", "address": "192.0.2.1", "note": ""}},
    {"at": "t3", "kind": "login_accepted", "fields": {"user": "alice", "address": "192.0.2.2"}},
    {"at": "t4", "kind": "login_refused", "fields": {"user": "bob\x1b[2J", "address": "192.0.2.1"}},
]


class Cli:
    """An invocation whose server answers from ``answers`` and notes what was asked."""

    as_json = False

    def __init__(self, **answers):
        self.said, self.asked, self.answers = [], [], answers
        self.server = self.api = self

    def emit(self, document, text=None):
        self.said.append(text)

    def stream(self, resource, **options):
        self.asked.append(options)
        return iter(EVENTS)

    def __getattr__(self, name):
        def ask(*arguments, **query):
            self.asked.append((name, *arguments, {key: value for key, value in query.items() if value is not None}))
            return self.answers[name]

        return ask


def test_events_are_filtered_by_kind_user_and_address():
    cli = Cli()
    history.events(cli, kind=["login_refused"])
    assert [line.split()[0] for line in cli.said] == ["t2", "t4"]
    cli = Cli()
    history.events(cli, follow=True, kind=["login_refused"], user="alice", address="192.0.2.1")
    assert [line.split()[0] for line in cli.said] == ["t1", "t2"]  # a gap may hide any event
    with pytest.raises(CommandError, match="not an IPv4"):
        history.events(cli, address="somewhere")


def test_a_line_of_an_event_is_harmless():
    assert history.event_line(EVENTS[3]) == "t4  login_refused  user=bob\ufffd[2J address=192.0.2.1"


def test_penalties_are_forgiven_by_network_or_all():
    cli = Cli(delete={"forgiven": 1})
    history.forgive(cli, "192.0.2.1")
    history.forgive(cli, None, everything=True, dry_run=True)
    assert cli.asked == [
        ("delete", "penalties", {"network": "192.0.2.1/32"}),
        ("delete", "penalties", {"dry_run": True}),
    ]
    assert cli.said == ["ended 1 penalty", "would end 1 penalty"]
    for arguments in ((None, False), ("192.0.2.1", True)):
        with pytest.raises(CommandError, match="--all"):
            history.forgive(cli, arguments[0], everything=arguments[1])


def test_a_broken_audit_is_an_error():
    with pytest.raises(CommandError, match="row 7"):
        history.verify(Cli(get={"intact": False, "first_broken": 7}))
    history.verify(Cli(get={"intact": True, "first_broken": None}))


def test_a_rule_is_made_from_options_or_a_file(tmp_path):
    cli = Cli(post={"id": "x", "sessions_cut": 1})
    add(cli, rule_id="x", kind="blacklist", network="192.0.2.0/24", ttl="1h")
    document = {"id": "x", "type": "blacklist", "remote_addr": "192.0.2.0/24", "ttl": 3600}
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(document))
    add(cli, file, dry_run=True)
    assert cli.asked == [("post", "rules", document, {}), ("post", "rules", document, {"dry_run": True})]
    assert cli.said == ["added rule x; 1 session disconnected", "1 session would be disconnected"]
    for wrong in ({}, {"file": file, "rule_id": "x"}):
        with pytest.raises(CommandError, match="name a file"):
            add(cli, **wrong)


def test_a_rule_is_edited_only_if_it_is_unchanged(tmp_path):
    found = {"id": "a/b", "etag": '"1"', "document": {"id": "a/b", "type": "blacklist"}}
    cli = Cli(get=found, put={"sessions_cut": 0})
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(found["document"]))
    edit(cli, "a/b", file)
    assert cli.said == ["no change"]
    file.write_text('{"id": "a/b", "type": "whitelist"}')
    edit(cli, "a/b", file)
    assert cli.asked[-1] == ("put", "rules/a%2Fb", {"id": "a/b", "type": "whitelist"}, '"1"', {})
    file.write_text("[]")
    with pytest.raises(CommandError, match="JSON object"):
        edit(cli, "a/b", file)
