# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices that rule files changed, whatever way an editor or a deployment writes them.

The folders are watched by the kernel's notifications, and so is each one's parent, because a folder can be replaced as
a whole. A notification only says "look": what decides is whether the fingerprint of the files differs from the last
one, so that temporary files, and the database beside the configuration, cause nothing.

Lists that rule files name by path are watched too, wherever they lie and from before they exist.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from watchfiles import awatch

from ocsentry.rule_sources.feeds_in_rules import FeedsInRules
from sentry_engine.policy.rule_files import read_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from sentry_engine.policy.rule_files import FileReader
    from sentry_engine.rules.model import FeedRule

SETTLE = 200  # milliseconds: a file that is still being written is read when it has been left alone, or after this
POLL = 20  # milliseconds between two looks at the notifications
LOOK_ANYWAY = 1000  # milliseconds: network filesystems notify nobody, and a change may come before the watch does
RETRY = 1.0  # seconds until a watch that broke is tried again

Fingerprint = tuple[tuple[str, int, int, int], ...]


class RuleWatcher:
    """``changes`` yields once for each time that the files in or at ``paths`` differ from before.

    ``suffixes`` are those of the files that count inside folders.
    """

    def __init__(self, paths: Iterable[Path], suffixes: Iterable[str], read: FileReader = read_file) -> None:
        """Reads the rule files, through ``read``."""
        self._paths = tuple(path.absolute() for path in paths)
        self._suffixes = frozenset(suffixes)
        self._feeds = FeedsInRules(self._paths, read)
        self._lists: tuple[Path, ...] = ()
        self._last = self._look()

    def feeds_in_rules(self) -> tuple[FeedRule, ...]:
        """The feeds that the rule files name as they are now."""
        return self._feeds.read(self._facts(self._paths))

    def _look(self) -> Fingerprint:
        files = self._facts(self._paths)
        self._lists = tuple(feed.path.absolute() for feed in self._feeds.read(files) if feed.path is not None)
        return files + self._facts(self._lists)

    def _facts(self, paths: Iterable[Path]) -> Fingerprint:
        """Name, inode, size and time of change of every file that counts."""
        rows = []
        for path in paths:
            for file in self._files(path):
                with suppress(OSError):
                    facts = file.stat()
                    rows.append((str(file), facts.st_ino, facts.st_size, facts.st_mtime_ns))
        return tuple(rows)

    async def changes(self) -> AsyncIterator[None]:
        """Runs until it is cancelled."""
        while True:
            targets = self._targets()
            with suppress(OSError):  # a folder went away between being listed and being watched
                async for _ in awatch(
                    *targets,
                    watch_filter=None,
                    debounce=SETTLE,
                    step=POLL,
                    rust_timeout=LOOK_ANYWAY,
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    if await asyncio.to_thread(self._differs):
                        yield
                    if self._targets() != targets:
                        break
            if self._targets() == targets:
                await asyncio.sleep(RETRY)

    def _differs(self) -> bool:
        before, self._last = self._last, self._look()
        return before != self._last

    def _files(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        with suppress(OSError):
            return sorted(file for file in path.iterdir() if file.suffix in self._suffixes)
        return []

    def _targets(self) -> dict[Path, int]:
        """The folders to watch, with their inodes: a folder of the same name may be another one."""
        folders = {folder for path in (*self._paths, *self._lists) for folder in (path, path.parent)}
        found = {}
        for folder in sorted(folders):
            with suppress(OSError):
                if folder.is_dir():
                    found[folder] = folder.stat().st_ino
        return found
