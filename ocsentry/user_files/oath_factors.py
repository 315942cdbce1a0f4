# SPDX-License-Identifier: GPL-3.0-or-later
"""The one-time passwords of a users file, over those of the store.

The file is only read: which codes are used up is in the store. A user whose secret changes in the file starts again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from admin_api.store import Store
    from ocsentry.user_files.file_thread import FileThread
    from ocsentry.user_files.oath_file import OathFile
    from ocsentry.user_files.read_through import ReadThroughFile
    from vpn_frontend.auth.second_factors import SecondFactors
    from vpn_frontend.auth.totp.secret import OtpSecret
    from vpn_frontend.ports import EventSink


class OathUsers:
    """The file, looked at with each use. A file that cannot be read is an error: nobody logs in past it."""

    def __init__(self, file: ReadThroughFile[OathFile], thread: FileThread, events: EventSink) -> None:
        self._file = file
        self._thread = thread
        self._events = events
        self._reported: OathFile | None = None

    async def find(self, user: str) -> OtpSecret | None:
        loaded = await self._thread.run(self._file.load)
        if loaded is not self._reported:
            self._reported = loaded
            for problem in loaded.problems:
                self._events.emit(VpnEvent.USER_FILE_REFUSED, file=str(self._file.path), problem=problem)
        return loaded.secrets.get(user)


class OathFactors:
    """Implements ``SecondFactors``. ``others`` are for users that the file does not have."""

    def __init__(self, users: OathUsers, store: Store, others: SecondFactors) -> None:
        self._users = users
        self._store = store
        self._others = others

    async def find_secret(self, user: str) -> OtpSecret | None:
        secret = await self._users.find(user)
        if secret is None:
            return await self._others.find_secret(user)
        if secret.period:
            return secret
        async with self._store.read() as unit:
            used = await unit.otp_uses.last_step(user, _digest(secret))
        return secret if used is None else replace(secret, first=max(secret.first, used + 1))

    async def use_step(self, user: str, step: int, login: str) -> bool:
        secret = await self._users.find(user)
        if secret is None:
            return await self._others.use_step(user, step, login)
        async with self._store.write() as unit:
            return await unit.otp_uses.use(user, _digest(secret), step, login)

    async def use_backup_code(self, user: str, code: str, login: str) -> bool:
        """Users of the file have none."""
        if await self._users.find(user) is not None:
            return False
        return await self._others.use_backup_code(user, code, login)


def _digest(secret: OtpSecret) -> str:
    """Names a secret without telling it."""
    return hashlib.sha256(b"one-time passwords\0" + secret.key).hexdigest()
