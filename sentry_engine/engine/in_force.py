# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has in force at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from sentry_engine.cores.interface import BlockedNetwork
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import Prefixes


@dataclass(frozen=True, slots=True)
class InForce:
    """``clock_offset`` is Unix time minus the engine's clock, for ends of rules. Ends of blocks are in that clock."""

    version: int
    policy: Policy
    clock_offset: float
    never_block: Prefixes
    blocks: tuple[BlockedNetwork, ...]
