# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the files of users that the configuration names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ocsentry.errors import OperatorError
from ocsentry.user_files.directory import FileDirectory
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.oath_factors import OathUsers
from ocsentry.user_files.oath_file import parse_oath_file
from ocsentry.user_files.password_file import parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile
from ocsentry.user_files.settings_folders import Folder, SettingsFolders
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.gateway.certificates.server_certificate import FileReader
    from vpn_frontend.ports import EventSink, SettingsFiles, UserDirectory
    from vpn_frontend.settings import SettingsPlaces


@dataclass(frozen=True, slots=True)
class UserFiles:
    """``directory`` has all users. ``settings``: the folders with their settings; ``None``: there are none."""

    directory: UserDirectory
    settings: SettingsFiles | None
    one_time: OathUsers | None = None  # of a file with one-time passwords


@asynccontextmanager
async def open_user_files(
    config: LoadedConfig,
    store: UserDirectory,
    events: EventSink,
    read_privileged: FileReader,
    host_name: str = "",
) -> AsyncIterator[UserFiles]:
    """Yields what the configuration names; the directory is ``store`` itself without a password file.
    ``host_name``: the files of that virtual host, and those of the server for what it does not name.

    Raises ``OperatorError`` for a file of passwords that cannot be read.
    """
    vpn, thread = config.vpn, FileThread()
    host = next((one for one in vpn.hosts if host_name and one.name == host_name), None)
    auth, folders = (vpn.auth, vpn.folders) if host is None else (host.auth, host.folders or vpn.folders)
    where = "auth" if host is None else f"vpn.host.{host.name}.auth"
    try:
        one_time = None
        if auth.oath_file is not None:
            codes = ReadThroughFile(auth.oath_file, parse_oath_file, read_privileged)
            await _try_to_read(f"{where}.oath_file", codes, thread)
            one_time = OathUsers(codes, thread, events)
        directory = store
        if auth.ocpasswd_file is not None:
            file = ReadThroughFile(auth.ocpasswd_file, parse_password_file, read_privileged)
            await _try_to_read(f"{where}.ocpasswd_file", file, thread)
            directory = FileDirectory(file, thread, store, events, one_time)
        yield UserFiles(directory, _open_settings(folders, thread, events), one_time)
    finally:
        thread.close()


async def _try_to_read(key: str, file: ReadThroughFile[Any], thread: FileThread) -> None:
    """Raises ``OperatorError``."""
    try:
        await thread.run(file.load)
    except OSError as error:
        raise OperatorError(f"{key}: {file.path}: cannot be read: {error.strerror or error}") from error


def _open_settings(places: SettingsPlaces, thread: FileThread, events: EventSink) -> SettingsFiles | None:
    users = Folder(places.user_config_dir, places.default_user_config)
    groups = Folder(places.group_config_dir, places.default_group_config)
    if users.is_empty and groups.is_empty:
        return None
    return SettingsFolders(users, groups, thread, events)
