# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files on disk: discovery, format detection by content, and reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from sentry_engine.errors import PolicyError, Problem
from sentry_engine.formats.bounded_json import MAX_BYTES, JsonError, parse_json
from sentry_engine.formats.line_file import is_line_file, read_lines
from sentry_engine.formats.rule_file import read_document
from sentry_engine.geoip.file_identity import FileIdentity
from sentry_engine.prefixes import Origin
from sentry_engine.rules.model import FeedRule
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.wolfsentry import CONFIG_KEY, read_config, translate

MAX_FILES = 1_000  # in all folders of one load
SUFFIXES = (".json", ".conf", ".list")  # of rule files in a folder
SCHEMA_NAME = "schema.json"  # the JSON schema, which is skipped
SETTLED = 2.0  # seconds between changes that differ in their time stamp on every file system

FileReader = Callable[[Path], PolicyPart]  # raises PolicyError


class RuleFiles:
    """A cache of parsed rule files, since a large policy is joined again after each API rule. Thread-safe.

    A file that changed within the last ``SETTLED`` seconds is not cached: a second change in the same tick of the file
    system's clock would go unnoticed.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._kept: dict[Path, tuple[FileIdentity, PolicyPart]] = {}

    def read(self, path: Path) -> PolicyPart:
        """``read_file`` with the cache. Raises ``PolicyError``."""
        before = _identify(path)
        with self._lock:
            known = self._kept.get(path)
        if known is not None and known[0] == before:
            return known[1]
        part = read_file(path)
        with self._lock:
            self._kept = {kept: of for kept, of in self._kept.items() if kept != path and kept.exists()}
            if before is not None and before == _identify(path) and self._is_settled(before):
                self._kept[path] = before, part
        return part

    def _is_settled(self, identity: FileIdentity) -> bool:
        return self._wall_clock() - identity.changed_ns / 1e9 > SETTLED


def _identify(path: Path) -> FileIdentity | None:
    try:
        return FileIdentity.of(str(path))
    except OSError:
        return None  # ``read_file`` reports the reason


def read_file(path: Path) -> PolicyPart:
    """Read one rule file. Raises ``PolicyError``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PolicyError([Problem(str(path), "", f"the file is larger than {MAX_BYTES} bytes")])
        data, changed_at = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise PolicyError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    if is_line_file(data):
        return read_lines(data, file=str(path))
    if path.suffix != ".json" and not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return PolicyPart(feeds=(FeedRule(f"list:{path.name}", Origin(str(path), ""), path),))
    try:
        document = parse_json(data)
    except JsonError as error:
        raise PolicyError([Problem(str(path), "", str(error))]) from None
    return read_parsed(document, file=str(path), changed_at=changed_at, folder=path.parent)


def read_parsed(document: Any, *, file: str, changed_at: float, folder: Path | None = None) -> PolicyPart:  # noqa: ANN401
    """Read a parsed document in the native format or wolfSentry's, by its keys. Raises ``PolicyError``."""
    if isinstance(document, Mapping) and CONFIG_KEY in document:
        return translate(read_config(document, file=file), file=file)
    return read_document(document, file=file, changed_at=changed_at, folder=folder)


def find_files(paths: Iterable[str | Path], problems: list[Problem]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.name != SCHEMA_NAME and p.is_file())
        else:
            found.append(path)
    if len(found) > MAX_FILES:
        problems.append(Problem(str(found[MAX_FILES]), "", f"more than {MAX_FILES} rule files"))
    return list(dict.fromkeys(found))[:MAX_FILES]
