# SPDX-License-Identifier: GPL-3.0-or-later
"""``gssapi``: Kerberos tickets, judged by the GSSAPI helper."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from vpn_frontend.auth.gssapi.method import GssapiMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method


@asynccontextmanager
async def open_gssapi(context: MethodContext) -> AsyncIterator[Method]:
    """Raises ``OperatorError`` without a helper."""
    helper = context.gssapi
    if helper is None:
        raise OperatorError("auth.methods: gssapi needs its helper process, which was not started")
    helper.attach()
    try:
        yield GssapiMethod(context.directory, helper, context.config.values.auth.gssapi.realms)
    finally:
        helper.detach()
