# SPDX-License-Identifier: GPL-3.0-or-later
"""Detects changes of rule files, however an editor or a deployment writes them.

The kernel's notifications watch each folder and its parent, because a folder can be replaced as a whole. A notification
only triggers a comparison of fingerprints. Temporary files, and the database beside the configuration, therefore cause
no reload.

Lists that rule files name by path are watched too, wherever they are, and before they exist.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from ocsentry.rule_sources.feeds_in_rules import FeedsInRules
from ocsentry.rule_sources.folder_notices import FolderNotices
from sentry_engine.policy.rule_files import read_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from sentry_engine.policy.rule_files import FileReader
    from sentry_engine.rules.model import FeedRule

SETTLE = 0.2  # seconds from a notification to the comparison: a file is often written in several steps
COMPARE_EVERY = 1.0  # seconds between two comparisons without a notification: network filesystems send none

Fingerprint = tuple[tuple[str, int, int, int], ...]


class RuleWatcher:
    """``changes`` yields once per change of the files in or at ``paths``.

    Inside folders, only files with one of ``suffixes`` count.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        suffixes: Iterable[str],
        read: FileReader = read_file,
        run: Callable[[Callable[[], bool]], Awaitable[bool]] = asyncio.to_thread,
    ) -> None:
        """Reads the rule files with ``read``, and compares them on a thread of ``run``."""
        self._paths = tuple(path.absolute() for path in paths)
        self._suffixes = frozenset(suffixes)
        self._feeds = FeedsInRules(self._paths, read)
        self._run = run
        self._lists: tuple[Path, ...] = ()
        self._last = self._fingerprint()
        self.watching = False  # the kernel has answered since the watch began

    def feeds_in_rules(self) -> tuple[FeedRule, ...]:
        """Returns the feeds that the present rule files name."""
        return self._feeds.read(self._facts(self._paths))

    def _fingerprint(self) -> Fingerprint:
        files = self._facts(self._paths)
        self._lists = tuple(feed.path.absolute() for feed in self._feeds.read(files) if feed.path is not None)
        return files + self._facts(self._lists)

    def _facts(self, paths: Iterable[Path]) -> Fingerprint:
        """Returns name, inode, size and modification time of every watched file."""
        rows = []
        for path in paths:
            for file in self._files(path):
                with suppress(OSError):
                    facts = file.stat()
                    rows.append((str(file), facts.st_ino, facts.st_size, facts.st_mtime_ns))
        return tuple(rows)

    async def changes(self) -> AsyncIterator[None]:
        """Yields after each change, until cancelled. Raises ``OSError`` if the kernel has no watch left."""
        try:
            async for _ in self._changes():
                yield
        finally:
            self.watching = False

    async def _changes(self) -> AsyncIterator[None]:
        while True:
            targets = self._targets()
            with ExitStack() as stack:
                try:
                    notices = stack.enter_context(FolderNotices(targets))
                except (FileNotFoundError, NotADirectoryError):  # since it was listed
                    notices = None
                while self._targets() == targets:
                    self.watching = notices is not None
                    if await self._run(self._differs):
                        yield
                    await _wait(notices)
                    if notices is None:
                        break

    def _differs(self) -> bool:
        before, self._last = self._last, self._fingerprint()
        return before != self._last

    def _files(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        with suppress(OSError):
            return sorted(file for file in path.iterdir() if file.suffix in self._suffixes)
        return []

    def _targets(self) -> dict[Path, int]:
        """Returns the folders to watch, with their inodes: a folder may be replaced by another of the same name."""
        folders = {folder for path in (*self._paths, *self._lists) for folder in (path, path.parent)}
        found = {}
        for folder in sorted(folders):
            with suppress(OSError):
                if folder.is_dir():
                    found[folder] = folder.stat().st_ino
        return found


async def _wait(notices: FolderNotices | None) -> None:
    """Wait until a comparison is due."""
    if notices is None:
        await asyncio.sleep(COMPARE_EVERY)
    elif await notices.wait(COMPARE_EVERY):
        await asyncio.sleep(SETTLE)
        notices.clear()
