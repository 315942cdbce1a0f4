# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the feeds that rule files name, before a policy is loaded: its lists must be downloaded and watched first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine import PolicyError
from sentry_engine.policy.rule_files import SUFFIXES, read_file

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from pathlib import Path

    from sentry_engine.policy.rule_files import FileReader
    from sentry_engine.rules.model import FeedRule


class FeedsInRules:
    """``paths`` are rule files and folders."""

    def __init__(self, paths: Iterable[Path], read: FileReader = read_file) -> None:
        self._read_file = read
        self._paths = tuple(paths)
        self._known: tuple[Hashable, tuple[FeedRule, ...]] | None = None

    def read(self, fingerprint: Hashable) -> tuple[FeedRule, ...]:
        """Returns all feeds of the files, which are read again only if ``fingerprint`` has changed."""
        known = self._known
        if known is None or known[0] != fingerprint:
            known = self._known = fingerprint, tuple(self._read())
        return known[1]

    def _read(self) -> Iterator[FeedRule]:
        for path in self._paths:
            try:
                files = sorted(path.iterdir()) if path.is_dir() else [path]
            except OSError:
                continue  # the folder is gone; the reload reports it
            for file in files:
                if file.suffix in SUFFIXES and file.is_file():
                    try:
                        yield from self._read_file(file).feeds
                    except PolicyError:
                        continue  # the reload reports it
