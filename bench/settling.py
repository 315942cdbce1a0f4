# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until servers are idle, so that pending work is not charged to the next measurement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.machine import busy_seconds, share

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE_SECONDS = 30  # at most
SETTLE_WINDOW = 0.5  # seconds


def settle(cpu: Callable[[], float], quiet: float) -> float:
    """Returns the share of all processors that others used in the last half second.

    ``cpu``: processor seconds that the servers have used. ``quiet``: of these in half a second, when they are idle.
    """
    taken = 0.0
    for _ in range(int(SETTLE_SECONDS / SETTLE_WINDOW)):
        before, began, busy = cpu(), time.monotonic(), busy_seconds()
        time.sleep(SETTLE_WINDOW)
        own = cpu() - before
        taken = max(0.0, share(busy_seconds() - busy - own, time.monotonic() - began))
        if own < quiet:
            break
    return taken
