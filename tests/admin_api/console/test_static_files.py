# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a browser loads: where they come from, and how large they are on the wire."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib

from admin_api.console.rendering import FOLDER, STATIC

VENDOR = STATIC / "vendor"
SCRIPT = re.compile(r'src="{{ base }}/static/([^"]+\.js)"')
ON_EVERY_PAGE = 30_000  # bytes of scripts, gzipped
WITH_CHARTS = ON_EVERY_PAGE + 23_000


def gzipped(names):
    return sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in names)


def test_files_of_other_projects_are_what_their_list_says():
    sources = tomllib.loads((VENDOR / "sources.toml").read_text())
    assert {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}} == set(sources)
    for name, source in sources.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == source["sha256"], name
        assert (VENDOR / source["text"]).exists()


def test_pages_stay_within_their_budget():
    base = SCRIPT.findall((FOLDER / "frame/base.html").read_text())
    assert gzipped(base) < ON_EVERY_PAGE
    for page in FOLDER.glob("*/*.html"):
        scripts = SCRIPT.findall(page.read_text())
        limit = WITH_CHARTS if "vendor/uPlot.iife.min.js" in scripts else ON_EVERY_PAGE
        assert gzipped({*base, *scripts}) < limit, page.name
        assert gzipped(["console.css"]) + len(gzip.compress(page.read_bytes(), 9)) < 30_000


def test_templates_have_no_script_or_style_of_their_own():
    pages = list(FOLDER.glob("*/*"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", text), page.name
        assert "|safe" not in text.replace(" ", ""), page.name
