# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages of ocserv's tools have every command and option, and ``man`` takes them without a warning."""

from __future__ import annotations

import re
import subprocess

import pytest

from ocsentry.cli.commands.ocpasswd import make_parser
from ocsentry.cli.tool_manuals import render_occtl_manual, render_ocpasswd_manual
from ocsentry.occtl.program import FLAGS, IGNORED, OPTIONS, USAGE, run_occtl
from ocsentry.occtl.words import COMMANDS


def test_every_command_of_occtl_is_on_its_page(capsys):
    text = render_occtl_manual().replace("\\-", "-")
    missing = [one.name for one in COMMANDS if not one.hidden and f"\\fB{one.name}\\fR" not in text]
    assert missing == []
    assert run_occtl(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [one.name for one in COMMANDS if not (one.hidden or one.interactive) and one.name not in shown] == []


def test_help_and_page_name_the_options_that_are_read():
    named = {name for short, long, *_ in OPTIONS for name in (short, long) if name}
    assert named == {*FLAGS, *IGNORED, "-s", "--socket-file"}
    text = render_occtl_manual().replace("\\-", "-")
    assert [name for name in named if f"\\fB{name}\\fR" not in text or name not in USAGE] == []


def test_every_option_of_ocpasswd_is_on_its_page():
    text = render_ocpasswd_manual().replace("\\-", "-")
    named = re.findall(r"(?<!\S)-{1,2}[a-z]+", make_parser().format_help())
    assert {"-c", "--passwd", "--groupname", "-u"} <= set(named)
    assert [name for name in named if f"\\fB{name}\\fR" not in text] == []


@pytest.mark.parametrize("page", [render_occtl_manual(), render_ocpasswd_manual()], ids=["occtl", "ocpasswd"])
def test_groff_takes_the_page(page):
    made = subprocess.run(
        ["groff", "-man", "-ww", "-z"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")
