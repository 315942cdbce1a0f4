# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of a running server: their helper on the event loop, and at the end those that have not run yet."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ocsentry.privileges.hooks.route_programs import ADD, REMOVE, RoutePrograms
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
    routes = RoutePrograms(helper, names) if helper is not None and not {ADD, REMOVE}.isdisjoint(names) else None
    if routes is not None:
        runs, names = routes, routes.names
    if sessions is not None:
        around = PamSessions(sessions, values.auth.pam.timeout, runs, names)
        runs, names = around, around.names
    assert runs is not None  # noqa: S101 - one of both is there
    each = values.vpn.hooks.each_connection
    runner = HookRunner(runs, names, events, each_connection=each, sets_routes=routes is not None)
    with ExitStack() as attached:
        for one in (helper, sessions):
            if one is not None:
                one.attach()
                attached.callback(one.detach)
        try:
            yield runner
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await runner.drain()
                    if routes is not None:
                        await routes.close()
