# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a password file, over those of the store.

The file is looked at with each look-up, so a change by ``ocpasswd`` counts at the next login, and at the next
reconnect. Names are compared exactly, as ocserv does. A user of both has password, groups and lock of the file, and
everything else of the store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.ports import UserRecord, VpnEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocsentry.user_files.file_thread import FileThread
    from ocsentry.user_files.oath_factors import OathUsers
    from ocsentry.user_files.password_file import OcpasswdUser, PasswordFile
    from ocsentry.user_files.read_through import ReadThroughFile
    from vpn_frontend.ports import EventSink, UserDirectory


class FileDirectory:
    """A ``UserDirectory``. A file that cannot be read is an error of every look-up: nobody logs in past it."""

    def __init__(
        self,
        file: ReadThroughFile[PasswordFile],
        thread: FileThread,
        store: UserDirectory,
        events: EventSink,
        one_time: OathUsers | None = None,
    ) -> None:
        """``one_time``: users who have one-time passwords; of these a user without a password needs only a code."""
        self._one_time = one_time
        self._file = file
        self._thread = thread
        self._store = store
        self._events = events
        self._reported: PasswordFile | None = None

    async def find(self, name: str) -> UserRecord | None:
        entry = (await self._load()).users.get(name)
        stored = await self._store.find(name)
        if entry is None:
            return stored
        user = _join(entry, stored)
        if user.password_hash is None and self._one_time is not None and await self._one_time.find(name) is not None:
            return replace(user, code_only=True)
        return user

    def recall(self, name: str) -> UserRecord | None:  # noqa: ARG002 - of the interface
        """``None``: the file has to be looked at each time."""
        return None

    async def hash_samples(self) -> Sequence[str]:
        hashes = (user.password_hash for user in (await self._load()).users.values() if user.password_hash)
        return [*await self._store.hash_samples(), *hashes]

    async def _load(self) -> PasswordFile:
        loaded = await self._thread.run(self._file.load)
        if loaded is not self._reported:
            self._reported = loaded
            for problem in loaded.problems:
                self._events.emit(VpnEvent.USER_FILE_REFUSED, file=str(self._file.path), problem=problem)
        return loaded


def _join(entry: OcpasswdUser, stored: UserRecord | None) -> UserRecord:
    """A user without a password has no hash, and no password is right."""
    password_hash = entry.password_hash or None
    if stored is None:
        return UserRecord(entry.name, password_hash, entry.groups, entry.enabled)
    groups = tuple(dict.fromkeys((*entry.groups, *stored.groups)))
    return replace(stored, password_hash=password_hash, groups=groups, enabled=stored.enabled and entry.enabled)
