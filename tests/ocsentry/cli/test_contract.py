# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the command line that scripts rely on: each of them exists, and stays."""

from __future__ import annotations

import pytest
import typer

from ocsentry.cli.app import build_app

ROOT = typer.main.get_command(build_app())
COMMANDS = """
init --dir --demo --full-tunnel --lan --name
serve --check --ocserv-conf --pid-file
demo
doctor --bundle
status
stats
top
events --follow --kind
decisions
address
explain
console
backup
restore
reload
audit list
penalties list
penalties forgive
user add
user passwd
user list
user show
user set
user enable
user disable
user del
user import
user totp enrol
user totp reset
group add
group list
group show
group set
group del
block --ttl --reason --dry-run --force
unblock
blocks list
blocks import
blocks export
rules check
rules explain
rules list
rules add
rules edit
rules del
rules diff
rules apply --confirm-within
rules confirm
rules versions
rules rollback
rules simulate
rules import
rules export
rules reload
rules schema
feeds list
feeds refresh
sessions list
sessions show
sessions kill
sessions history
token create
token list
token revoke
webhook add
webhook list
webhook show
webhook set
webhook del
operations list
operations show
operations cancel
settings show
settings set
node list
node drain
node resume
node forget
db upgrade
db copy
cert acme
cert show
import ocserv
"""
LINES = [line for line in COMMANDS.splitlines() if line]
# Of nouns in one number the other one works too, unless it is a command of its own (block) or there is none.
NUMBERS = [
    *(("user", "users"), ("group", "groups"), ("rules", "rule"), ("feeds", "feed"), ("sessions", "session")),
    *(("token", "tokens"), ("webhook", "webhooks"), ("operations", "operation"), ("settings", "setting")),
    *(("nodes", "node"), ("penalties", "penalty"), ("cert", "certs"), ("events", "event"), ("decisions", "decision")),
    *(("places", "place"), ("steps", "step")),
]


def options_of(command):
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("line", LINES)
def test_the_word_exists_with_its_options(line):
    *words, found = [word for word in line.split() if not word.startswith("--")], ROOT
    for word in words[0]:
        found = found.commands[word]
    wanted = {word for word in line.split() if word.startswith("--")} | {"--json", "--config"}
    assert wanted - options_of(found) == set()


@pytest.mark.parametrize(("shown", "other"), NUMBERS, ids=lambda word: word)
def test_a_noun_has_both_numbers(shown, other):
    assert not ROOT.commands[shown].hidden
    assert ROOT.commands[other].hidden
    mine, its = (getattr(ROOT.commands[name], "commands", {}) for name in (shown, other))
    assert list(mine) == list(its)
    assert options_of(ROOT.commands[shown]) == options_of(ROOT.commands[other])


@pytest.mark.parametrize("option", ["--version", "--json", "--config", "-c"])
def test_the_program_has_the_shared_options(option):
    assert option in options_of(ROOT)


@pytest.mark.parametrize("tool", ["occtl", "ocpasswd"])
def test_tools_of_ocserv_are_commands(tool):
    """Their words and options are ocserv's."""
    assert tool in ROOT.commands


def test_h_is_help():
    assert "-h" in ROOT.context_settings["help_option_names"]
