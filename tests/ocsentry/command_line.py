# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``ocsentry`` on a server's folder, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.cli.app import build_app
from ocsentry.cli.invocation import run

OCSENTRY = Path(sys.executable).with_name("ocsentry")


class CommandLine:
    """Runs the program on the configuration in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "ocsentry.toml"
        self.environment = {**os.environ, "OCSENTRY_CONFIG": str(self.config)}
        self.environment.pop("OCSENTRY_DEBUG", None)

    def run(self, *arguments, stdin=""):
        """Run in this process: starting an interpreter would take most of the time."""
        out, error = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            patch.setenv("OCSENTRY_CONFIG", str(self.config))
            patch.setattr("sys.stdin", io.StringIO(stdin))
            code = run(build_app(), list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())

    def run_program(self, *arguments, stdin=""):
        """Run in a process of its own."""
        command = [OCSENTRY, *map(str, arguments)]
        how = {"input": stdin, "timeout": TIMEOUT, "env": self.environment, "cwd": self.folder}
        return subprocess.run(command, capture_output=True, text=True, check=False, **how)

    def ok(self, *arguments, stdin=""):
        """Returns the standard output; the run must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def json(self, *arguments, stdin=""):
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def fails(self, *arguments, stdin=""):
        """Returns the error text; the run must fail with one readable line."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, done.stdout
        assert done.stdout == ""
        assert done.stderr.startswith("ocsentry: ")
        assert "Traceback" not in done.stderr
        return done.stderr.removeprefix("ocsentry: ").rstrip("\n")
