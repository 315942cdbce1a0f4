# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the lock files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_ENTRY = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))?\s*(?=--hash|$)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file. ``marker`` (PEP 508) is empty where the package is installed everywhere."""

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]  # of every file of that version


def pins(lock: str) -> list[Pin]:
    """Returns the packages of ``requirements/<lock>.lock``. Raises ValueError on a line of another form."""
    return list(_parse((FOLDER / f"{lock}.lock").read_text("utf-8")))


def _parse(text: str) -> Iterator[Pin]:
    for line in re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        entry = _ENTRY.match(line)
        if entry is None:
            raise ValueError(f"not an entry of a lock file: {line[:80]}")
        yield Pin(entry["name"], entry["version"], entry["marker"] or "", tuple(_HASH.findall(line)))
