# SPDX-License-Identifier: GPL-3.0-or-later
"""Trims the log of changes, on any node: it is kept for ``KEPT_SECONDS``, and at least its ``KEPT_CHANGES`` newest.

A node that was away for longer compares its whole state instead, see ``changes.py``. Several nodes may trim at once:
each skips what another one holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.fleet.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.fleet.calls import Calls

INTERVAL = 30.0  # seconds between two looks
KEPT_SECONDS = 2 * 3600.0
KEPT_CHANGES = 10_000
AT_ONCE = 10_000  # changes that one look removes: more than the fleet can publish of penalties meanwhile
RAISE = "SELECT fleet.raise_floor_v1(make_interval(secs => %s), %s, %s)"
TRIM = "SELECT fleet.trim_log_v2(%s)"


class LogTrim(Rounds):
    """Call ``start`` once the node has joined, and ``stop`` before its calls are closed."""

    def __init__(self, calls: Calls, report: Callable[[str], None]) -> None:
        super().__init__("trims the fleet's log", report)
        self._calls = calls

    async def trim(self) -> int:
        """Returns how many changes were removed. Raises ``FleetSilentError`` or the database's error."""
        await self._calls.call(RAISE, (KEPT_SECONDS, KEPT_CHANGES, AT_ONCE))
        ((removed,),) = await self._calls.call(TRIM, (AT_ONCE,))
        return int(removed)

    async def work(self) -> None:
        await self.trim()

    def pause(self, took: float) -> float:  # noqa: ARG002 - it takes a moment
        return INTERVAL
