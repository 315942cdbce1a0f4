# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``ldap``: the password of the first form, checked by the directory's servers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.password import OverloadError
from vpn_frontend.auth.result import WRONG, Accepted, FirstForm, Pending, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.ldap.directory import LdapDirectory
    from vpn_frontend.auth.ldap.pool import LdapPool
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory


class LdapMethod:
    """An empty password is refused here: servers answer a bind without a password with success."""

    name = "ldap"
    backend = "ldap"

    def __init__(self, users: UserDirectory, directory: LdapDirectory, pool: LdapPool) -> None:
        self._users = users
        self._directory = directory
        self._pool = pool

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
            found = await self._pool.run(
                lambda connection, server: self._directory.log_in(connection, server, login.username, login.password)
            )
        except OverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        if isinstance(found, Refused):
            return found
        user = await find_external_user(self._users, found.name, found.groups)
        return Accepted(user, user.groups)
