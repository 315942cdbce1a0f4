# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that programs find a running server by: its process id, and a link to its socket.

Both are made while the process has its privileges. It may not be able to remove them later, so a pid file is emptied
at the end where it cannot be removed.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

MODE = 0o644


class PidFile:
    """Holds the file until ``remove``."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._file: int | None = None

    def write(self) -> None:
        """Write the process id. Raises ``OperatorError``."""
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise OperatorError(f"--pid-file: {self._path} is not a file")
            os.ftruncate(self._file, 0)
            os.fchmod(self._file, MODE)  # scripts of other users read it
            os.write(self._file, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise OperatorError(f"--pid-file: {self._path} cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Never fails: the server has ended."""
        if self._file is None:
            return
        with suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)
        self._file = None
        with suppress(OSError):
            self._path.unlink()


def link_socket(link: Path, socket: Path) -> None:
    """Make ``link`` lead to ``socket``. A link or socket of an earlier server is replaced. Raises ``OperatorError``."""
    try:
        if link.is_symlink() or link.is_socket():
            link.unlink()
        link.symlink_to(socket)
    except OSError as error:
        raise OperatorError(f"occtl-socket-file: {link} cannot be made: {error.strerror}") from error
