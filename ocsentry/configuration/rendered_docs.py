# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the parts of ``docs/`` that derive from code, between two marks.

Run ``python -m ocsentry.configuration.rendered_docs``.

A test checks that the pages are up to date.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from admin_api.api_reference import render_reference as render_api_reference
from ocsentry.configuration.ocserv.documentation import render_keys
from ocsentry.configuration.reference import render_reference
from ocsentry.observability.event_catalog import render_table

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN = "<!-- begin: rendered by `python -m ocsentry.configuration.rendered_docs` -->"
END = "<!-- end -->"

PAGES: dict[str, Callable[[], str]] = {
    "api.md": render_api_reference,
    "configuration.md": render_reference,
    "from-ocserv.md": render_keys,
    "operations.md": render_table,
}


def render_page(page: str, content: str) -> str:
    """Returns ``page`` with ``content`` between the marks. Raises ``ValueError`` without marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks between which the rendered part goes")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def main() -> None:
    """Render the pages in ``docs`` under the working directory."""
    for name, render in PAGES.items():
        path = Path("docs") / name
        path.write_text(render_page(path.read_text(), render()))


if __name__ == "__main__":
    main()
