# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of a running server: their helper on the event loop, and at the end those that have not run yet."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ocsentry.privileges.hooks.runner import HookRunner, RunsPrograms
from ocsentry.privileges.pam.sessions import PamSessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.hooks.client import HookHelper
    from ocsentry.privileges.pam.client import PamHelper
    from vpn_frontend.ports import EventSink

DRAIN = 20.0  # seconds for the disconnect hooks of a stopping server


@asynccontextmanager
async def open_hooks(
    helper: HookHelper | None, pam: PamHelper | None, config: LoadedConfig, events: EventSink
) -> AsyncIterator[HookRunner | None]:
    """``None`` without hooks and without sessions of PAM. The VPN stops before this does."""
    values = config.values
    sessions = pam if values.accounting.pam else None
    if helper is None and sessions is None:
        yield None
        return
    runs: RunsPrograms | None = helper
    names: Collection[str] = values.vpn.hooks.programs()
    if sessions is not None:
        around = PamSessions(sessions, values.auth.pam.timeout, helper, names)
        runs, names = around, around.names
    assert runs is not None  # noqa: S101 - one of both is there
    runner = HookRunner(runs, names, events, each_connection=values.vpn.hooks.each_connection)
    with ExitStack() as attached:
        for one in (helper, sessions):
            if one is not None:
                one.attach()
                attached.callback(one.detach)
        try:
            yield runner
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(runner.drain(), DRAIN)
