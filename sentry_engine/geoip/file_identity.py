# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity of a file's content, to detect a change without reading it."""

from __future__ import annotations

from pathlib import Path

from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Differs after a file is replaced or written."""

    path: str
    inode: int
    size: int
    modified_ns: int
    changed_ns: int  # of the inode; cannot be set back

    @classmethod
    def of(cls, path: str) -> FileIdentity:
        """Raises ``OSError``."""
        status = Path(path).stat()
        return cls(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
