# SPDX-License-Identifier: GPL-3.0-or-later
"""``bearer``: tokens of the provider of ``[auth.bearer]``, which the client brings along."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.login_methods.oidc import open_http
from vpn_frontend.auth.bearer.method import BearerMethod
from vpn_frontend.auth.bearer.tokens import BearerTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method


@asynccontextmanager
async def open_bearer(context: MethodContext) -> AsyncIterator[Method]:
    async with open_http() as http:
        yield BearerMethod(context.directory, BearerTokens(context.config.values.auth.bearer.rules(), http))
