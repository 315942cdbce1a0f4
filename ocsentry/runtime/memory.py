# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives memory of a replaced large policy back to the kernel.

glibc keeps what was freed inside its arenas: half a gigabyte after a policy with a million rules. malloc_trim(3)
returns whole free pages. It holds the lock of one arena at a time, so it runs after large policies only.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERVAL = 15.0  # seconds between two looks at the policy
LARGE = 50_000  # rules; a smaller policy holds at most some 20 MB


class MemoryRelease:
    """Call ``look`` periodically. ``work`` runs ``release`` on a thread of its own."""

    def __init__(
        self,
        status: Callable[[], tuple[int, int]],
        work: Callable[[Callable[[], None]], Awaitable[None]],
        release: Callable[[], None] | None = None,
    ) -> None:
        """``status`` returns version and number of rules of the policy in force."""
        self._status = status
        self._work = work
        self._release = trim_arenas if release is None else release
        self._version, self._rules = status()

    async def look(self) -> None:
        """Release memory if a large policy, or one that has become large, was replaced since the last look."""
        version, rules = self._status()
        large = max(rules, self._rules) >= LARGE
        changed, self._version, self._rules = version != self._version, version, rules
        if changed and large:
            await self._work(self._release)


def trim_arenas() -> None:
    """Call malloc_trim(3). Other C libraries have no such call; then this does nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
