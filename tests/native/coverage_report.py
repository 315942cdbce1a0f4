# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints which share of the native cores' lines and branches ran, by folder, from what gcc's counters left behind.

A line or branch ran if it ran in one of the programs that it was compiled into. Branches are those of gcov(1): both
outcomes of each condition. Exits with 1 below ``LEAST``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CORES = ("sentry_engine/native", "vpn_frontend/native")
LEAST = {"lines": 95.0, "branches": 85.0}  # percent


class Source:
    """What ran of one file: calls of each line, and of each line's branches by their order."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = defaultdict(int)
        self.branches: dict[tuple[int, int], int] = {}

    def add(self, line: dict[str, Any]) -> None:
        number = line["line_number"]
        self.lines[number] += line["count"]
        for order, branch in enumerate(line["branches"]):
            self.branches[number, order] = self.branches.get((number, order), 0) + branch["count"]

    def missed(self) -> list[str]:
        never = [number for number, count in sorted(self.lines.items()) if not count]
        half = sorted({number for (number, _), count in self.branches.items() if not count} - set(never))
        return [f"{number} never" for number in never] + [f"{number} one way only" for number in half]


def read(folder: Path) -> dict[str, Source]:
    sources: dict[str, Source] = defaultdict(Source)
    files = sorted(folder.rglob("*.gcda"))
    for start in range(0, len(files), 50):
        chosen = map(str, files[start : start + 50])
        command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", *chosen]
        out = subprocess.run(command, capture_output=True, check=True, text=True, cwd=folder).stdout
        for report in map(json.loads, out.splitlines()):
            for file in report["files"]:
                path = Path(report["current_working_directory"], file["file"]).resolve()
                if path.is_relative_to(ROOT) and str(path.relative_to(ROOT)).startswith(CORES):
                    for line in file["lines"]:
                        sources[str(path.relative_to(ROOT))].add(line)
    return sources


def share(counts: list[int]) -> float:
    return 100 * sum(map(bool, counts)) / len(counts) if counts else 100.0


def print_table(sources: dict[str, Source]) -> dict[str, float]:
    """Returns the shares of all sources together, in percent."""
    folders: dict[str, list[Source]] = defaultdict(list)
    for name, source in sources.items():
        folders[str(Path(name).parent)].append(source)
        folders["all"].append(source)
    total = {}
    print(f"{'':42} {'lines':>7} {'ran':>7} {'branches':>9} {'ran':>7}")
    for name in sorted(folders, key=lambda name: (name == "all", name)):
        lines = [count for source in folders[name] for count in source.lines.values()]
        branches = [count for source in folders[name] for count in source.branches.values()]
        total = {"lines": share(lines), "branches": share(branches)}
        print(f"{name:42} {len(lines):7} {total['lines']:6.1f}% {len(branches):9} {total['branches']:6.1f}%")
    return total


def main(folder: Path) -> int:
    sources = read(folder)
    total = print_table(sources)
    missed = [f"{name}:{text}\n" for name, source in sorted(sources.items()) for text in source.missed()]
    (folder / "missed.txt").write_text("".join(missed))
    low = [f"{name} {total[name]:.1f} %, asked {least} %" for name, least in LEAST.items() if total[name] < least]
    for text in low:
        print(f"coverage: too little: {text}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
