# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files on disk: discovery, format detection by content, and reading."""

from __future__ import annotations

import hashlib
import time
import zlib
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
from sentry_engine.records import dataclass
from sentry_engine.rules.model import FeedRule
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.wolfsentry import CONFIG_KEY

MAX_FILES = 1_000  # in all folders of one load
SUFFIXES = (".json", ".conf", ".list")  # of rule files in a folder
SCHEMA_NAME = "schema.json"  # the JSON schema, which is skipped
MAX_KEPT = 4 * 1024 * 1024  # bytes of a rule file whose content is kept
SETTLED = 2.0  # seconds between changes that differ in their time stamp on every file system

FileReader = Callable[[Path], PolicyPart]  # raises PolicyError


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One rule file as it was read.

    ``content`` is compressed. It is ``None`` for a list, which is data and no rule, and beyond ``MAX_KEPT`` bytes.
    """

    part: PolicyPart
    digest: bytes  # SHA-256 of the content; of a list, that of nothing
    changed_at: float  # Unix time, from which a ``ttl`` counts
    content: bytes | None

    def text(self) -> bytes | None:
        """Returns the content as it is on disk, if it is kept."""
        return None if self.content is None else zlib.decompress(self.content)


class RuleFiles:
    """A cache of parsed rule files, since a large policy is joined again after each API rule. Thread-safe.

    A file that changed within the last ``SETTLED`` seconds is not cached: a second change in the same tick of the file
    system's clock would go unnoticed.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._kept: dict[Path, tuple[FileIdentity, RuleFile]] = {}

    def read(self, path: Path) -> PolicyPart:
        """``read_file`` with the cache. Raises ``PolicyError``."""
        return self.load(path).part

    def load_all(self, paths: Iterable[str | Path]) -> dict[str, RuleFile]:
        """Returns all rule files in or at ``paths``, by name. Raises ``PolicyError`` with the problems of all."""
        problems: list[Problem] = []
        files: dict[str, RuleFile] = {}
        for path in find_files(paths, problems):
            try:
                files[str(path)] = self.load(path)
            except PolicyError as error:
                problems += error.problems
        if problems:
            raise PolicyError(problems)
        return files

    def load(self, path: Path) -> RuleFile:
        """``load_file`` with the cache. Raises ``PolicyError``."""
        before = _identify(path)
        with self._lock:
            known = self._kept.get(path)
        if known is not None and known[0] == before:
            return known[1]
        file = load_file(path)
        with self._lock:
            self._kept = {kept: of for kept, of in self._kept.items() if kept != path and kept.exists()}
            if before is not None and before == _identify(path) and self._is_settled(before):
                self._kept[path] = before, file
        return file

    def _is_settled(self, identity: FileIdentity) -> bool:
        return self._wall_clock() - identity.changed_ns / 1e9 > SETTLED


def _identify(path: Path) -> FileIdentity | None:
    try:
        return FileIdentity.of(str(path))
    except OSError:
        return None  # ``read_file`` reports the reason


def read_file(path: Path) -> PolicyPart:
    """Read the rules of one file. Raises ``PolicyError``."""
    return load_file(path).part


def load_file(path: Path) -> RuleFile:
    """Read one rule file. Raises ``PolicyError``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PolicyError([Problem(str(path), "", f"the file is larger than {MAX_BYTES} bytes")])
        data, changed_at = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise PolicyError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    return parse_file(data, path, changed_at)


def digest_file(path: Path) -> bytes | None:
    """Returns the digest that ``RuleFile`` has, without parsing; ``None`` for a file that cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return hashlib.sha256(b"" if _is_list(data, path) else data).digest()


def parse_file(data: bytes, path: Path, changed_at: float) -> RuleFile:
    """Returns the rule file at ``path`` with this content. Raises ``PolicyError``."""
    part = _parse(data, path, changed_at)
    if part is None:
        rule = FeedRule(f"list:{path.name}", Origin(str(path), ""), path)
        return RuleFile(PolicyPart(feeds=(rule,)), hashlib.sha256().digest(), changed_at, None)
    content = zlib.compress(data) if len(data) <= MAX_KEPT else None
    return RuleFile(part, hashlib.sha256(data).digest(), changed_at, content)


def _parse(data: bytes, path: Path, changed_at: float) -> PolicyPart | None:
    """``None``: the file is a list."""
    if is_line_file(data):
        return read_lines(data, file=str(path))
    if _is_list(data, path):
        return None
    try:
        document = parse_json(data)
    except JsonError as error:
        raise PolicyError([Problem(str(path), "", str(error))]) from None
    return read_parsed(document, file=str(path), changed_at=changed_at, folder=path.parent)


def _is_list(data: bytes, path: Path) -> bool:
    if path.suffix == ".json" or is_line_file(data):
        return False
    return not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def read_parsed(document: Any, *, file: str, changed_at: float, folder: Path | None = None) -> PolicyPart:  # noqa: ANN401
    """Read a parsed document in the native format or wolfSentry's, by its keys. Raises ``PolicyError``."""
    if isinstance(document, Mapping) and CONFIG_KEY in document:
        from sentry_engine.wolfsentry import read_config, translate  # noqa: PLC0415 - few policies have such a file

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
