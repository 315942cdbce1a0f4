# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a running server: one on its control socket and one on its SQLite database.

A second server would attach to the first one's TUN device and close its sessions in the accounting, long before it
failed at the control socket. The locks are ``flock`` on files beside the socket and the database. The kernel releases
them when the process ends, however it ends; the files stay.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.identity import Identity

SUFFIX = ".lock"
MODE = 0o600
MAX_PID_BYTES = 20


class InstanceLockError(OperatorError):
    """Another server runs on the same socket or database."""


class InstanceLock:
    """Holds the locks until ``close``."""

    def __init__(self, files: Iterable[int]) -> None:
        self._files = list(files)

    @classmethod
    def take(cls, config: LoadedConfig, identity: Identity | None = None) -> Self:
        """Take the locks. The files belong to ``identity``, if the process is to change to it.

        The folders must exist. Raises ``InstanceLockError``, which names the other process.
        """
        lock = cls(())
        try:
            for path in _locked_paths(config):
                lock._files.append(_lock(path, identity))
        except BaseException:
            lock.close()
            raise
        return lock

    @classmethod
    def of_database(cls, database: Path) -> Self:
        """Take the lock of one SQLite database, for work while no server may use it. Raises as ``take``."""
        return cls([_lock(database, None)])

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())


def _locked_paths(config: LoadedConfig) -> list[Path]:
    database = config.database_file
    return [config.values.admin.socket, *([] if database is None else [database])]


def _lock(path: Path, identity: Identity | None) -> int:
    """Returns the descriptor that holds the lock of ``path``."""
    place = path.with_name(path.name + SUFFIX)
    try:
        file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    except OSError as error:
        raise InstanceLockError(f"{place} cannot be opened: {error.strerror}") from error
    try:
        _refuse_link(place, os.fstat(file))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if identity is not None:
            os.fchown(file, identity.uid, identity.gid)
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        pid = os.read(file, MAX_PID_BYTES).decode("ascii", "replace").strip() or "unknown"
        os.close(file)
        raise InstanceLockError(f"another server (process {pid}) uses {path}") from None
    except BaseException:
        os.close(file)
        raise
    return file


def _refuse_link(place: Path, facts: os.stat_result) -> None:
    """Refuse a file that has another name too: root would write to it and give it to the server's user."""
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        raise InstanceLockError(f"{place} is not a file of its own; remove it")
