# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of docs/performance.md, one section per kind of processor that they were measured on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Report

_SECTION = re.compile(r"<!-- figures: (.+?) -->\n.*?<!-- end of figures: \1 -->", re.DOTALL)


def section(report: Report) -> str:
    """The report as Markdown, one level below the page's other headings."""
    tables = re.sub(r"^### ", "#### ", report.tables(), flags=re.MULTILINE)
    return f"### {report.machine['processor']}\n\n{report.heading()}\n\n{tables}"


def put_section(document: Path, report: Report) -> bool:
    """Replaces the section of the report's processor, or adds it behind the others.

    Returns True if it is the page's first. Raises ``ValueError`` if the page has no section to stand behind.
    """
    processor = report.machine["processor"]
    text = document.read_text()
    found = list(_SECTION.finditer(text))
    if not found:
        raise ValueError(f"{document} has no figures to stand behind")
    known = next((one for one in found if one[1] == processor), None)
    start, end = known.span() if known else (found[-1].end(), found[-1].end())
    marked = f"<!-- figures: {processor} -->\n{section(report)}\n<!-- end of figures: {processor} -->"
    document.write_text(text[:start] + ("" if known else "\n\n") + marked + text[end:])
    return known is found[0]
