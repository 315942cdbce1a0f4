# SPDX-License-Identifier: GPL-3.0-or-later
"""Exit codes of the program, as ``docs/commands.md`` lists them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import typer

from ocsentry.cli.invocation import run

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, ["token", "list"]),
        (1, ["user", "show", "nobody"]),
        (2, ["user", "frobnicate"]),
        (2, ["status", "--frobnicate"]),
        (2, ["events", "--limit", "many"]),
        (3, ["status"]),
        (3, ["blocks", "export"]),
        (3, ["feeds"]),
    ],
    ids=lambda value: value if isinstance(value, int) else "-".join(value),
)
def test_exit_codes_of_commands(command_line, code, arguments):
    done = command_line.run(*arguments)
    assert done.returncode == code
    assert bool(done.stderr) == bool(code)
    done = command_line.run(*arguments, "--json")
    assert done.returncode == code
    if code:
        assert json.loads(done.stderr)["exit_code"] == code


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)], ids=["int", "pipe"])
def test_exit_codes_of_interruptions(monkeypatch, error, code):
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(os, "dup2", lambda *_: None)  # keeps pytest's own standard output
    assert run(app, []) == code


def test_the_page_lists_the_codes():
    assert re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE) == ["0", "1", "2", "3", "130", "141"]
