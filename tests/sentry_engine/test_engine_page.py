# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/engine.md: every line of it runs and prints what the page says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"
BLOCK = re.compile(r"```pycon\n(.*?)\n```", re.DOTALL)


def test_page_says_what_the_library_does():
    text = "\n\n".join(BLOCK.findall(PAGE.read_text()))
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    complaints: list[str] = []
    outcome = doctest.DocTestRunner().run(examples, out=complaints.append)
    assert outcome.attempted > 20
    assert not outcome.failed, "".join(complaints)
