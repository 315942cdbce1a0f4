# SPDX-License-Identifier: GPL-3.0-or-later
"""``[accounting]``: the reporter of sessions, from the configuration."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.ports import CloseReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.late_sessions import LateSessions
    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.accounting.reporter import AccountingReporter


@asynccontextmanager
async def open_accounting(context: MethodContext, sessions: LateSessions) -> AsyncIterator[AccountingReporter | None]:
    """Yields the reporter at work; ``None`` if sessions are accounted for in the store alone."""
    settings, radius = context.config.values.accounting, context.config.values.auth.radius
    if not settings.radius:
        yield None
        return
    from admin_api.store.accounting.ledger import StoredLedger  # noqa: PLC0415 - what few servers load
    from ocsentry.login_methods.radius import open_servers  # noqa: PLC0415
    from vpn_frontend.accounting.reporter import AccountingReporter  # noqa: PLC0415

    reporter = AccountingReporter(
        open_servers(context, purpose="accounting"),
        StoredLedger(context.store),
        nas_identifier=radius.nas_identifier,
        interim=settings.interim,
        refuse_without=settings.refuse_without,
        view=sessions.get,
        end_session=partial(sessions.kill, reason=CloseReason.ACCOUNTING),
        events=context.events,
        clock=time.monotonic,
    )
    reporter.start()
    try:
        yield reporter
    finally:
        await reporter.stop()
