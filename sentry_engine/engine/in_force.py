# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has in force at one moment."""

from __future__ import annotations

from collections.abc import Mapping

from sentry_engine.cores.interface import BlockedNetwork
from sentry_engine.policy.policy import Policy
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class InForce:
    """``clock_offset`` is Unix time minus the engine's clock, for ends of rules. Ends of blocks are in that clock.

    ``policy_version`` is the version at which the policy was put in force. ``blocks`` holds those that changed since
    the version that the caller knows, ``None`` for a removed one; or all of them if ``has_all_blocks``.
    """

    version: int
    policy_version: int
    policy: Policy
    clock_offset: float
    never_block: Prefixes
    blocks: Mapping[str, BlockedNetwork | None]
    has_all_blocks: bool
