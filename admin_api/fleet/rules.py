# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that another node has changed over the API: compiled here with this node's own files, and put in force.

Compiling may take seconds, and no block waits for it: a task of its own does it, once for all that came meanwhile.
Rules that do not compile here, for instance beside another rule file, leave the earlier ones in force and are reported.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.enforcement.service import Enforcement
    from admin_api.fleet.changes import Change
    from vpn_frontend.ports import EventSink

RULES = "rules"  # the kind of the change; what it is stands in the table of rules
RETRY = 5.0  # seconds until a failed attempt is repeated


class RulesPart:
    """``stop`` ends the task."""

    def __init__(self, enforcement: Enforcement, events: EventSink) -> None:
        self._enforcement = enforcement
        self._events = events
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="rules of the fleet")

    async def apply(self, changes: Sequence[Change]) -> None:
        if not all(change.own for change in changes):
            self._wanted.set()

    async def compare(self, *, restored: bool) -> None:  # noqa: ARG002 - the rules are those of the database
        self._wanted.set()

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._enforcement.refresh_lists(by="another node")
            except Exception as error:  # noqa: BLE001 - any failure of the database: tried again
                self._events.emit(ApiEvent.POLICY_REFUSED, problems=[f"rules of another node: {error!r}"])
                await asyncio.sleep(RETRY)
                self._wanted.set()
