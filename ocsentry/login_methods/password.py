# SPDX-License-Identifier: GPL-3.0-or-later
"""``password``: the password hashes of the store's users."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.method import PasswordMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method


@asynccontextmanager
async def open_password(context: MethodContext) -> AsyncIterator[Method]:
    auth = context.config.vpn.auth
    # With a code in the same form, an answer without a hash would tell that the password is right.
    code_beside = auth.totp.in_first_form and "totp" in auth.named_methods
    checker = PasswordChecker(remember=0 if code_beside else auth.remember_passwords)
    for encoded in await context.directory.hash_samples():
        checker.learn(encoded)
    try:
        yield PasswordMethod(context.directory, checker)
    finally:
        checker.close()
