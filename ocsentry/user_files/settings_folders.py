# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's folders with a file of settings for each user and each group, read at each login.

A file has the name of its user or group. Names that are no plain file name are refused, and so are links: a client
chooses the name that is looked for. A login with a file that cannot be used is refused, as ocserv 1.5 does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from admin_api.session_settings.overrides import MAX_PROFILE, check_profile
from ocsentry.user_files.settings_file import MAX_BYTES, SettingsSyntaxError, parse_entries, read_settings
from sentry_engine.records import dataclass
from vpn_frontend.ports import NO_LAYERS, SettingsFileError, VpnEvent

if TYPE_CHECKING:
    from pathlib import Path

    from ocsentry.user_files.file_thread import FileThread
    from ocsentry.user_files.settings_file import ReadSettings
    from vpn_frontend.ocserv.grammar import Entry
    from vpn_frontend.ports import EventSink, SettingsLayers

MAX_REPORTED = 1024  # files whose remarks are remembered, so that they are told once for each change
REFUSED = "Your settings on this server cannot be used. Please tell your administrator."


@dataclass(frozen=True, slots=True)
class Folder:
    """``place`` has a file for each name, ``otherwise`` is for names without one; either may be missing."""

    place: Path | None
    otherwise: Path | None

    @property
    def is_empty(self) -> bool:
        return self.place is None and self.otherwise is None


class SettingsFolders:
    """Implements the port ``SettingsFiles``."""

    def __init__(self, users: Folder, groups: Folder, thread: FileThread, events: EventSink) -> None:
        self._users = users
        self._groups = groups
        self._thread = thread
        self._events = events
        self._reported: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    async def read(self, user: str, group: str) -> SettingsLayers:
        """The layers of the user's file and of the group's, the user's first. An empty ``group``: there is none."""
        try:
            layers, remarks = await self._thread.run(partial(self._read, user, group))
        except _UnusableFileError as error:
            self._events.emit(VpnEvent.USER_FILE_REFUSED, file=error.file, problem=error.problem)
            raise SettingsFileError(REFUSED) from None
        for file, texts in remarks.items():
            self._report(file, texts)
        return layers

    def _read(self, user: str, group: str) -> tuple[SettingsLayers, dict[str, tuple[str, ...]]]:
        """Runs on the thread of files. Raises ``_UnusableFileError``."""
        of_group = _find(self._groups, group) if group else None
        of_user = _find(self._users, user)
        layers: list[tuple[str, object]] = []
        remarks: dict[str, tuple[str, ...]] = {}
        below = of_group[1] if of_group is not None else ()
        for found, origin, lower in ((of_user, f"user {user} (file)", below), (of_group, f"group {group} (file)", ())):
            if found is None:
                continue
            file, entries = found
            read = _interpret(file, entries, lower)
            remarks[file] = read.remarks
            if read.overrides:
                layers.append((origin, read.overrides))
        return (tuple(layers) if layers else NO_LAYERS), remarks  # type: ignore[arg-type]

    def _report(self, file: str, texts: tuple[str, ...]) -> None:
        if self._reported.get(file, ()) == texts:
            return
        self._reported[file] = texts
        self._reported.move_to_end(file)
        if len(self._reported) > MAX_REPORTED:
            self._reported.popitem(last=False)
        for text in texts:
            self._events.emit(VpnEvent.USER_FILE_REFUSED, file=file, problem=text)


class _UnusableFileError(Exception):
    def __init__(self, file: str, problem: str) -> None:
        super().__init__(problem)
        self.file = file
        self.problem = problem


def _find(folder: Folder, name: str) -> tuple[str, tuple[Entry, ...]] | None:
    """The file of ``name``, else the default; ``None``: there is neither."""
    if folder.place is not None:
        shown = f"{folder.place}/{name}"
        data = _read_named(folder.place, name)
        if data is not None:
            return shown, _parse(shown, data)
    if folder.otherwise is None:
        return None
    shown = str(folder.otherwise)
    try:
        descriptor = os.open(folder.otherwise, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _UnusableFileError(shown, f"cannot be read: {error.strerror}") from None
    return shown, _parse(shown, _read_all(shown, descriptor, MAX_BYTES))


def _read_named(place: Path, name: str) -> bytes | None:
    """``None``: the folder has no such file."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise _UnusableFileError(f"{place}/", f"{name!r} is no name of a file")
    try:
        folder = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = "is a link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
        raise _UnusableFileError(f"{place}/{name}", problem) from None
    return _read_all(f"{place}/{name}", descriptor, MAX_BYTES)


def _read_all(shown: str, descriptor: int, limit: int) -> bytes:
    """Owns ``descriptor``."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _UnusableFileError(shown, "is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(limit + 1)
        except OSError as error:
            raise _UnusableFileError(shown, f"cannot be read: {error.strerror}") from None


def _parse(shown: str, data: bytes) -> tuple[Entry, ...]:
    try:
        return parse_entries(data)
    except SettingsSyntaxError as error:
        raise _UnusableFileError(shown, str(error)) from None


def _interpret(shown: str, entries: tuple[Entry, ...], below: tuple[Entry, ...]) -> ReadSettings:
    try:
        read = read_settings(entries, below)
        if read.profile:
            read.overrides["profile"] = _read_profile(read.profile)
    except ValueError as error:
        raise _UnusableFileError(shown, str(error)) from None
    return read


def _read_profile(name: str) -> str:
    """Raises ``ValueError``."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"user-profile: {name} cannot be read: {error.strerror}") from None
    data = _read_all(name, descriptor, MAX_PROFILE)
    if len(data) > MAX_PROFILE:
        raise ValueError(f"user-profile: {name} has more than {MAX_PROFILE} bytes")
    return check_profile(data.decode())
