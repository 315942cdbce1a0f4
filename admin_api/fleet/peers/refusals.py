# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of peers, told as events: of each source and reason at most one a minute, with the number of the others.

Anybody who reaches the port can cause them, so the table is bounded: what does not fit is counted only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.fleet.membership.lease import lease_clock
from admin_api.log_events import ApiEvent

if TYPE_CHECKING:
    from vpn_frontend.ports import EventSink

PAUSE = 60.0  # seconds
MOST = 256  # sources and reasons


class Refusals:
    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._told: dict[tuple[str, str], tuple[float, int]] = {}  # when last, and how many since
        self.count = 0  # of all

    def note(self, source: str, node: str, reason: str) -> None:
        """``source``: the address; ``node``: as the peer calls itself, if it has come so far."""
        self.count += 1
        now, key = lease_clock(), (source, reason)
        last, since = self._told.pop(key, (float("-inf"), 0))
        if now - last < PAUSE:
            self._told[key] = last, since + 1
            return
        if len(self._told) >= MOST:
            oldest = next(iter(self._told))
            if now - self._told[oldest][0] < PAUSE:
                return
            del self._told[oldest]
        self._told[key] = now, 0
        self._events.emit(ApiEvent.FLEET_PEER_REFUSED, source=source, node=node, reason=reason, earlier=since)
