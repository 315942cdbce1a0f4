# SPDX-License-Identifier: GPL-3.0-or-later
"""Nouns alone: they take the options of their list, and refuse them before another command."""

from __future__ import annotations

import pytest
import typer

from ocsentry.cli.app import build_app

ROOT = typer.main.get_command(build_app())
NOUNS = {name: noun for name, noun in ROOT.commands.items() if getattr(noun, "invoke_without_command", False)}


def options(command):
    return {(tuple(one.opts), one.help, str(one.default)) for one in command.params}


def test_nouns_that_list_when_alone_are_found():
    assert {"audit", "blocks", "feeds", "nodes", "operations", "penalties", "sessions", "session"} <= set(NOUNS)


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
