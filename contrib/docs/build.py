# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the documentation's site from ``docs/`` and README.md into a folder, and checks it.

    python contrib/docs/build.py ZENSICAL FOLDER

Fails if a page loads something from another host, or a link within the site has no target.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)", re.IGNORECASE
)
LINK = re.compile(r"<(?:a|img|script|link)\b[^>]*?\b(?:href|src)=[\"']?([^\"'\s>]+)", re.IGNORECASE)
ELSEWHERE = re.compile(r"^(?:[a-z]+:|//|#|$)")
OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+[^)]*\)")  # a file of the repository that is no page


def write_pages(target: Path) -> None:
    """The README becomes the first page. Links to files that are no pages become plain text."""
    shutil.copytree(ROOT / "docs", target)
    pages = {page.relative_to(target).as_posix() for page in target.rglob("*.md")}
    for name in pages:
        page = target / name
        text = page.read_text().replace("](../README.md", "](index.md")
        page.write_text(OUTSIDE.sub(r"\1", text))
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](").replace('src="docs/', 'src="')
    (target / "index.md").write_text(
        re.sub(r"\[([^\]]*)\]\((?:CONTRIBUTING|SECURITY|CHANGELOG)\.md[^)]*\)", r"\1", readme)
    )


def find_problems(site: Path) -> list[str]:
    """Returns what the pages load from other hosts, and links without targets."""
    problems = []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text()
        problems += [f"{page.name} loads {url}" for url in LOADED.findall(text) if "canonical" not in url]
        for link in LINK.findall(text):
            if ELSEWHERE.match(link) or page.name == "404.html":
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                problems.append(f"{page.name}: {link} leads nowhere")
            elif anchor and target.suffix == ".html" and f'id="{unquote(anchor)}"' not in target.read_text():
                problems.append(f"{page.name}: {link} has no such place")
    return problems


def main(zensical: str, folder: str) -> int:
    work = Path(folder)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_pages(work / "pages")
    shutil.copy(HERE / "zensical.toml", work)
    subprocess.run([str(Path(zensical).resolve()), "build"], cwd=work, check=True)
    problems = find_problems(work / "site")
    sys.stderr.write("".join(f"docs: {problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
