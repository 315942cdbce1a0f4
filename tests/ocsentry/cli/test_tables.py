# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables: plain when piped, fitted on a terminal, and harmless whatever a rule or client says."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from ocsentry.cli.tables import render_table, show_cell

ROWS = [
    {"address": "2001:db8::1", "verdict": "reject", "reason": "a long text that does not fit beside the others " * 2},
    {"address": "192.0.2.1", "verdict": "accept", "reason": ""},
]
PROGRAM = f"from ocsentry.cli.tables import print_table; print_table({ROWS!r}, ('address', 'verdict', 'reason'))"


def test_a_plain_table_has_every_cell_whole():
    lines = render_table(ROWS, ("address", "verdict", "reason")).splitlines()
    assert lines[0].split() == ["ADDRESS", "VERDICT", "REASON"]
    assert lines[1].endswith(ROWS[0]["reason"].rstrip())
    assert lines[2].split() == ["192.0.2.1", "accept", "-"]


def test_control_and_direction_characters_are_marked():
    assert show_cell("a\x1b[2J\nb\x00\u202ec") == "a\ufffd[2J\ufffdb\ufffd\ufffdc"
    assert show_cell(["x\r", "y"]) == "x\ufffd,y"
    assert (show_cell(None), show_cell(True), show_cell([])) == ("-", "yes", "-")


def test_a_piped_table_has_no_colour():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == render_table(ROWS, ("address", "verdict", "reason")) + "\n"


def test_a_table_on_a_terminal_fits_and_is_coloured():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "NO_COLOR": ""}
    environment.pop("NO_COLOR")
    subprocess.run([sys.executable, "-c", PROGRAM], stdout=theirs, env=environment, check=True, timeout=60)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    text = said.decode()
    assert "\x1b[31mreject" in text
    plain = [line.rstrip() for line in _without_colours(text).splitlines()]
    assert max(map(len, plain)) <= 60
    assert "fit" in " ".join(plain)


def _without_colours(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
