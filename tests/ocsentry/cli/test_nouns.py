# SPDX-License-Identifier: GPL-3.0-or-later
"""Nouns alone: each with a list shows it, takes its options, and refuses them before another command."""

from __future__ import annotations

import pytest
import typer

from ocsentry.cli.app import build_app

ROOT = typer.main.get_command(build_app())
GROUPS = {name: noun for name, noun in ROOT.commands.items() if hasattr(noun, "commands")}
NOUNS = {name: noun for name, noun in GROUPS.items() if noun.invoke_without_command}


def options(command):
    return {(tuple(one.opts), one.help, str(one.default)) for one in command.params}


def test_nouns_that_list_when_alone_are_found():
    assert {"audit", "blocks", "feeds", "nodes", "operations", "penalties", "sessions", "session"} <= set(NOUNS)


def test_every_noun_with_a_list_shows_it_when_alone():
    assert {name for name, noun in GROUPS.items() if "list" in noun.commands} == set(NOUNS)


@pytest.mark.parametrize("name", sorted(GROUPS.keys() - NOUNS.keys()))
def test_another_noun_alone_shows_its_help_as_an_error(bare_command_line, name):
    done = bare_command_line.run(name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f" {name} [OPTIONS] COMMAND" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("words", ["user", "users", "group", "token", "webhook"])
def test_a_noun_alone_needs_no_server_where_its_list_needs_none(command_line, words):
    assert command_line.json(words) == command_line.json(words, "list")


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_a_noun_alone_takes_the_options_of_its_list(name):
    assert options(NOUNS[name]) == options(NOUNS[name].commands["list"])


def test_the_noun_passes_its_options_on(command_line):
    command_line.ok("user", "add", "alice", "--password-stdin", stdin="secret one\n")
    command_line.ok("user", "disable", "alice")
    listed = command_line.json("audit", "list", "--limit", "1")
    assert len(listed) == 1
    assert command_line.json("audit", "--limit", "1") == listed
    assert command_line.json("audit", "-n", "5", "--action", "no_such_action") == []


def test_an_option_before_another_command_is_refused(command_line):
    done = command_line.run("audit", "--limit", "3", "verify")
    assert done.returncode == 2
    assert done.stderr == "ocsentry: --limit stands before 'verify': write options after the command\n"
    assert command_line.run("audit", "--json", "verify").returncode == 0  # the shared options may stand anywhere
