# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of a running server: their helper on the event loop, and at the end those that have not run yet."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ocsentry.privileges.hooks.runner import HookRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.hooks.client import HookHelper
    from vpn_frontend.ports import EventSink

DRAIN = 20.0  # seconds for the disconnect hooks of a stopping server


@asynccontextmanager
async def open_hooks(
    helper: HookHelper | None, config: LoadedConfig, events: EventSink
) -> AsyncIterator[HookRunner | None]:
    """``None`` without a helper. The VPN stops before this does."""
    if helper is None:
        yield None
        return
    helper.attach()
    runner = HookRunner(helper, config.values.vpn.hooks.programs(), events)
    try:
        yield runner
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(runner.drain(), DRAIN)
        helper.detach()
