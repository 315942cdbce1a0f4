# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files on disk: which they are, and what stands in each. Its content tells a file's format."""

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
SCHEMA_NAME = "schema.json"  # the schema may lie beside the rules it describes
SETTLED = 2.0  # seconds after which a second change of a file has another time than the first, on every file system

FileReader = Callable[[Path], PolicyPart]  # raises PolicyError


class RuleFiles:
    """Reads rule files, and those that are as they were only once: a policy of a million rules is put together again
    for each rule that is added to it elsewhere. Any thread may ask.

    What was read is kept as long as the file is there, unless it was changed a moment before: a change in the same tick
    of the file system's clock would not show.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._kept: dict[Path, tuple[FileIdentity, PolicyPart]] = {}

    def read(self, path: Path) -> PolicyPart:
        """As ``read_file``."""
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
        return None  # who reads it says why


def read_file(path: Path) -> PolicyPart:
    """One rule file. Raises ``PolicyError``."""
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
    """A parsed rule document: the native format, or wolfSentry's own, by what it contains."""
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
