# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page has every command, and its macros are well-formed."""

from __future__ import annotations

from ocsentry.cli.manual import render_manual
from tests.ocsentry.test_docs import commands


def test_every_command_is_on_the_page():
    text = render_manual().replace("\\-", "-")
    missing = [
        words for words in commands() if f"ocsentry {' '.join(words)}" not in text and f".SS {words[0]}" not in text
    ]
    assert missing == []


def test_indents_are_closed():
    lines = render_manual().splitlines()
    assert lines.count(".RS") == lines.count(".RE") > 10
    assert all(line for line in lines)
