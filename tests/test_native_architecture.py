# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the native cores, held by reading their ``#include`` lines.

A unit is ``x.c`` with ``x.h``. Units form no circle, folders include downwards only, and pure folders include only
themselves.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


class Tree(NamedTuple):
    """A native core: its folder, the folders of each floor from the lowest up, its pure folders.

    ``""`` is the core's own folder; ``base`` are headers in it that any folder may include.
    """

    folder: str
    floors: tuple[tuple[str, ...], ...]
    base: frozenset[str]
    pure: dict[str, frozenset[str]]  # folder -> headers of the base that it may include
    parts: dict[str, str]  # a header that two units share -> the unit that it is part of


TREES = (
    Tree(
        "vpn_frontend/native",
        (
            ("aes_gcm", "packet", "queues", "signing", "tables"),
            ("runtime",),
            ("limits",),
            ("tls",),
            ("dtls",),
            ("connections",),
            ("tun",),
            ("tunnel",),
            ("",),
        ),
        frozenset({"gateway.h", "wire.h", "list.h", "cursor.h"}),
        {"packet": frozenset({"wire.h"})},
        {},
    ),
    Tree(
        "sentry_engine/native",
        (("parse", "memory"), ("prefixes",), ("table", "state"), ("decision",), ("",), ("binding",)),
        frozenset({"gate.h", "ip_address.h", "mix.h", "nanoseconds.h", "plan.h", "snapshot_layout.h"}),
        {"parse": frozenset({"ip_address.h"}), "memory": frozenset()},
        {"core_internal": "core", "state/window_row": "state/sliding_window", "table/policy_view": "table/policy"},
    ),
)


@cache
def sources(folder: str) -> tuple[Path, ...]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"{folder}/*.[ch]"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file())


def includes(tree: Tree, path: Path) -> list[str]:
    """Headers of the same core that a file includes, as paths from the core's folder."""
    home = ROOT / tree.folder
    found = []
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        candidates = (path.parent / name, home / name, ROOT / name)
        header = next((candidate for candidate in candidates if candidate.is_file()), None)
        assert header is not None, f"{path}: {name} is nowhere"
        if header.is_relative_to(home):
            found.append(str(header.relative_to(home)))
    return found


def floor_of(tree: Tree, name: str) -> int:
    if name in tree.base:
        return -1
    return next(floor for floor, folders in enumerate(tree.floors) if folder_of(name) in folders)


def unit(tree: Tree, name: str) -> str:
    stem = name.rsplit(".", 1)[0]
    return tree.parts.get(stem, stem)


def folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def graph(tree: Tree) -> dict[str, set[str]]:
    """Unit -> units that it includes."""
    result: dict[str, set[str]] = {}
    for path in sources(tree.folder):
        here = unit(tree, str(path.relative_to(ROOT / tree.folder)))
        result.setdefault(here, set()).update({unit(tree, name) for name in includes(tree, path)} - {here})
    return result


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is left once units that include no others, or that no others include, are taken away again and again."""
    left = dict(arrows)
    while True:
        included = set().union(*left.values()) if left else set()
        free = [name for name, targets in left.items() if not targets & left.keys() or name not in included]
        if not free:
            return sorted(left)
        for name in free:
            del left[name]


def wrong_floors(tree: Tree) -> list[str]:
    wrong = []
    for path in sources(tree.folder):
        here = str(path.relative_to(ROOT / tree.folder))
        floor = floor_of(tree, here)
        wrong += [f"{here}: {name}" for name in includes(tree, path) if floor_of(tree, name) > floor]
    return wrong


def impure(tree: Tree) -> list[str]:
    wrong = []
    for path in sources(tree.folder):
        here = str(path.relative_to(ROOT / tree.folder))
        folder = folder_of(here)
        if folder in tree.pure:
            names = INCLUDE.findall(path.read_text(encoding="utf-8"))
            wrong += [f"{here}: {n}" for n in names if folder_of(n) != folder and n not in tree.pure[folder]]
    return wrong


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.folder)
class TestTree:
    def test_every_folder_has_a_floor(self, tree: Tree) -> None:
        folders = {folder_of(str(path.relative_to(ROOT / tree.folder))) for path in sources(tree.folder)}
        assert folders == {folder for floor in tree.floors for folder in floor}

    def test_units_form_no_circle(self, tree: Tree) -> None:
        assert circles(graph(tree)) == []

    def test_folders_include_downwards(self, tree: Tree) -> None:
        assert wrong_floors(tree) == []

    def test_pure_folders_include_only_themselves(self, tree: Tree) -> None:
        assert impure(tree) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == ["a", "b", "c"]
