# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``ldap``: the password of the first form, checked by the directory's servers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.result import WRONG, Accepted, FirstForm, OverloadError, Pending, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.ldap.connection import LdapConnection, Server
    from vpn_frontend.auth.ldap.directory import DirectoryUser, LdapDirectory
    from vpn_frontend.auth.ldap.pool import LdapPool
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory

NOT_FOUND = frozenset({"user_unknown", "user_ambiguous", "unusable_name"})
MAX_WAIT = 30.0  # seconds


class LdapMethod:
    """An empty password is refused here: servers answer a bind without a password with success.

    The answer for a user who is not found waits until it has taken as long as wrong passwords took lately.
    """

    name = "ldap"
    backend = "ldap"

    def __init__(self, users: UserDirectory, directory: LdapDirectory, pool: LdapPool) -> None:
        self._users = users
        self._directory = directory
        self._pool = pool
        self._refusal_time = 0.0  # seconds that the server took for a wrong password, the latest ones more

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.submitted:
            return FirstForm()
        if not login.password:
            return Refused(WRONG, "empty_password")
        return Pending(partial(self._check, login))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:  # noqa: ARG002 - of the interface
        """Raises ``TypeError``: this method has no challenge."""
        raise TypeError("a reply to a password without a challenge")

    async def _check(self, login: LoginRequest) -> Outcome:
        try:
            found, seconds = await self._pool.run(partial(self._log_in, login))
        except OverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        if isinstance(found, Refused):
            await self._even_out(found, seconds)
            return found
        user = await find_external_user(self._users, found.name, found.groups)
        return Accepted(user, user.groups)

    async def _log_in(
        self, login: LoginRequest, connection: LdapConnection, server: Server
    ) -> tuple[DirectoryUser | Refused, float]:
        """The outcome, and the seconds that the server took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await self._directory.log_in(connection, server, login.username, login.password)
        return found, loop.time() - began

    async def _even_out(self, refused: Refused, seconds: float) -> None:
        """Wait, without a connection, where the time would tell that there is no such user."""
        if refused.reason not in NOT_FOUND:
            self._refusal_time = (self._refusal_time + seconds) / 2 if self._refusal_time else seconds
            return
        await asyncio.sleep(min(MAX_WAIT, max(0.0, self._refusal_time - seconds)))
