# SPDX-License-Identifier: GPL-3.0-or-later
"""``pam``: the host's PAM stack, through the PAM helper."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.privileges.pam.client import LoginOpener
from ocsentry.privileges.pam.scope import pam_service_of
from vpn_frontend.auth.pam.method import PamMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method


@asynccontextmanager
async def open_pam(context: MethodContext) -> AsyncIterator[Method]:
    """Raises ``OperatorError`` without a helper."""
    if context.pam is None:
        raise OperatorError("auth.methods: pam needs its helper process, which was not started")
    auth = context.config.values.auth
    opener = LoginOpener(context.pam, pam_service_of(context.config, context.host))
    method = PamMethod(context.directory, opener, step_deadline=auth.pam.timeout, user_deadline=auth.timeout)
    context.pam.attach()
    try:
        yield method
    finally:
        method.close()
        context.pam.detach()
