# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the files of users that the configuration names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.user_files.directory import FileDirectory
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.password_file import parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.gateway.server_certificate import FileReader
    from vpn_frontend.ports import EventSink, UserDirectory


@asynccontextmanager
async def open_directory(
    config: LoadedConfig, store: UserDirectory, events: EventSink, read_privileged: FileReader
) -> AsyncIterator[UserDirectory]:
    """Yields the directory of all users: ``store`` itself without a password file.

    Raises ``OperatorError`` for a file that cannot be read.
    """
    path = config.vpn.auth.ocpasswd_file
    if path is None:
        yield store
        return
    thread = FileThread()
    file = ReadThroughFile(path, parse_password_file, read_privileged)
    try:
        try:
            await thread.run(file.load)
        except OSError as error:
            raise OperatorError(f"auth.ocpasswd_file: {path}: cannot be read: {error.strerror or error}") from error
        yield FileDirectory(file, thread, store, events)
    finally:
        thread.close()
