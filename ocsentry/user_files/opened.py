# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the files of users that the configuration names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.user_files.directory import FileDirectory
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.password_file import parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile
from ocsentry.user_files.settings_folders import Folder, SettingsFolders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.gateway.server_certificate import FileReader
    from vpn_frontend.ports import EventSink, SettingsFiles, UserDirectory
    from vpn_frontend.settings import VpnSettings


@dataclass(frozen=True, slots=True)
class UserFiles:
    """``directory`` has all users. ``settings``: the folders with their settings; ``None``: there are none."""

    directory: UserDirectory
    settings: SettingsFiles | None


@asynccontextmanager
async def open_user_files(
    config: LoadedConfig, store: UserDirectory, events: EventSink, read_privileged: FileReader
) -> AsyncIterator[UserFiles]:
    """Yields what the configuration names; the directory is ``store`` itself without a password file.

    Raises ``OperatorError`` for a password file that cannot be read.
    """
    vpn, thread = config.vpn, FileThread()
    try:
        directory = store
        if vpn.auth.ocpasswd_file is not None:
            file = ReadThroughFile(vpn.auth.ocpasswd_file, parse_password_file, read_privileged)
            try:
                await thread.run(file.load)
            except OSError as error:
                raise OperatorError(
                    f"auth.ocpasswd_file: {file.path}: cannot be read: {error.strerror or error}"
                ) from error
            directory = FileDirectory(file, thread, store, events)
        yield UserFiles(directory, _open_settings(vpn, thread, events))
    finally:
        thread.close()


def _open_settings(vpn: VpnSettings, thread: FileThread, events: EventSink) -> SettingsFiles | None:
    users = Folder(vpn.user_config_dir, vpn.default_user_config)
    groups = Folder(vpn.group_config_dir, vpn.default_group_config)
    if users.is_empty and groups.is_empty:
        return None
    return SettingsFolders(users, groups, thread, events)
