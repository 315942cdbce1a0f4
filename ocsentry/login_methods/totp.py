# SPDX-License-Identifier: GPL-3.0-or-later
"""``totp``: one-time passwords of the store's users."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from admin_api.second_factors.stored_factors import StoredFactors
from ocsentry.user_files.oath_factors import OathFactors
from vpn_frontend.auth.totp.method import TotpMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.auth.second_factors import SecondFactors


@asynccontextmanager
async def open_totp(context: MethodContext) -> AsyncIterator[Method]:
    """Raises ``OperatorError`` without a key."""
    settings = context.config.vpn.auth.totp
    factors: SecondFactors = StoredFactors(context.store, context.secret_box())
    if context.one_time is not None:
        factors = OathFactors(context.one_time, context.store, factors)
    yield TotpMethod(factors, required=settings.required, with_first_form=settings.in_first_form)
