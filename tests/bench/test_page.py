# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the page with figures: one per processor, each published alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import machine
from bench.page import put_section
from bench.report import Report
from bench.workload import Sample

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


@pytest.fixture
def measured(monkeypatch):
    """``measured(processor, value)``: a report with one figure."""
    monkeypatch.setattr(machine, "VERSIONS", {})

    def make(processor, value):
        report = Report(["ours"], "python -m bench")
        report.machine["processor"] = processor
        report.add("Logins", "ours", Sample("cost", "s", value, more_is_better=False))
        return report

    return make


def test_each_processor_has_a_section_that_is_replaced_alone(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n\n<!-- figures: A 1 -->\nold\n<!-- end of figures: A 1 -->\n\nbelow\n")
    assert put_section(page, measured("A 1", 1.0))
    assert not put_section(page, measured("B 2", 2.0))
    once = page.read_text()
    assert not put_section(page, measured("B 2", 3.0))
    text = page.read_text()
    assert re.findall(r"^### (.*)|^#### (.*)|^\| cost \| s \| (.*) \|", text, re.MULTILINE) == [
        ("A 1", "", ""), ("", "Logins", ""), ("", "", "1"), ("B 2", "", ""), ("", "Logins", ""), ("", "", "3")
    ]  # fmt: skip
    assert text == once.replace("| cost | s | 2 |", "| cost | s | 3 |")
    assert text.startswith("above\n\n<!-- figures: A 1 -->\n### A 1\n")
    assert text.endswith("<!-- end of figures: B 2 -->\n\nbelow\n")


def test_a_page_without_figures_is_an_error(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no figures"):
        put_section(page, measured("A", 1.0))


def test_every_published_section_names_its_processor():
    sections = re.findall(r"<!-- figures: (.+?) -->\n### (.+)\n\n(.+)", PAGE.read_text())
    assert sections
    for marked, heading, said in sections:
        assert marked == heading
        assert marked in said
