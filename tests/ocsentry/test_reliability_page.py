# SPDX-License-Identifier: GPL-3.0-or-later
"""Each promise of docs/reliability.md and docs/api.md names a test that exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
API_PAGE = (ROOT / "docs" / "api.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE + API_PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_a_named_test_exists(file, name):
    text = (ROOT / file).read_text()
    assert not name or re.search(rf"def {name}\(", text)


@pytest.mark.parametrize(
    ("page", "head"),
    [(PAGE, "| fault | promise | test |"), (API_PAGE, "| promise | test |")],
    ids=["reliability", "api"],
)
def test_every_promise_names_a_test(page, head):
    table = page.partition(head)[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row)] == []


def test_every_defect_has_what_holds_and_a_test():
    table = PAGE.partition("| | defect | what holds now | test |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()[1:]]
    assert [int(row[0]) for row in rows] == list(range(1, 29))
    assert [row for row in rows if not all(row) or not re.search(r"`tests/[\w/]+\.py::\w+`", row[3])] == []


def test_every_hostile_file_is_named():
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "tests" / "hostile").glob("test_*.py")}
    assert files <= {file for file, _ in NAMED}


def test_the_hostile_cases_are_as_many_as_the_page_says():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "netns", "tests/hostile"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    cases = {line for line in said.splitlines() if "::" in line}
    promised = re.search(r"More than (\d+) cases", PAGE)
    assert promised is not None
    assert len(cases) > int(promised[1]) >= 130
