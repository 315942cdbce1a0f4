# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``password``: the user directory has the hash."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.result import WRONG, Accepted, FirstForm, OverloadError, Pending, Refused, Unavailable
from vpn_frontend.ports import DIRECTORY_DEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.password.checker import PasswordChecker
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory


class PasswordMethod:
    """The password of the user directory. A user without a hash is refused like one with a wrong password."""

    name = "password"
    backend = "directory"

    def __init__(self, users: UserDirectory, passwords: PasswordChecker) -> None:
        self._users = users
        self._passwords = passwords

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        """A known user with a verified password is accepted at once."""
        if not login.submitted:
            return FirstForm()
        user = self._users.recall(login.username)
        encoded = None if user is None else user.password_hash
        if user is not None and encoded is not None and self._passwords.is_verified(encoded, login.password):
            return Accepted(user, user.groups)
        return Pending(partial(self._check, login))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:  # noqa: ARG002 - of the interface
        """Raises ``TypeError``: this method has no challenge."""
        raise TypeError("a reply to a password without a challenge")

    async def _check(self, login: LoginRequest) -> Outcome:
        async with asyncio.timeout(DIRECTORY_DEADLINE):
            user = await self._users.find(login.username)
        encoded = None if user is None else user.password_hash
        if user is not None and user.code_only:
            return Accepted(user, user.groups)  # the code alone decides
        try:
            right = await self._passwords.check(encoded, login.password, login.address, login.username)
        except OverloadError:
            return Unavailable("Too many logins at the moment. Please try again in a few seconds.")
        if user is None or not right:
            return Refused(WRONG, "wrong_password")
        async with asyncio.timeout(DIRECTORY_DEADLINE):
            present = await self._users.find(login.username)  # an operator may have changed it during the hash
        if present is None or present.password_hash != encoded:
            return Refused(WRONG, "wrong_password")
        return Accepted(present, present.groups)
