# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory is given back after a large policy, and only then."""

from __future__ import annotations

import pytest

from ocsentry.runtime.memory import LARGE, MemoryRelease, trim_arenas

pytestmark = pytest.mark.asyncio


async def test_memory_is_released_after_a_large_policy_only():
    policy, released = [(1, 10)], []

    async def work(release):
        release()

    memory = MemoryRelease(lambda: policy[0], work, lambda: released.append(policy[0]))
    seen = [(1, 10), (2, 20), (3, LARGE), (3, LARGE), (4, LARGE + 1), (5, 10), (6, 11)]
    for one in seen:
        policy[0] = one
        await memory.look()
    assert released == [(3, LARGE), (4, LARGE + 1), (5, 10)]


async def test_the_call_exists_or_is_left_out():
    trim_arenas()
