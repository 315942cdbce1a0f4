# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing of penalties by network."""

from __future__ import annotations

from sentry_engine.addresses import covers
from sentry_engine.cores.interface import Core


def clear_penalties(core: Core, network: bytes, length: int, now: float) -> int:
    """End the penalties inside a packed prefix and those of wider prefixes around it. Returns how many ended."""
    wider = [p for p in core.penalties(now) if p.length < length and covers((p.network, p.length), (network, length))]
    ended = core.clear_penalties(network, length, now)
    return ended + sum(core.clear_penalties(p.network, p.length, now) for p in wider)
