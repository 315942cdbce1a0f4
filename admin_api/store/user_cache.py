# SPDX-License-Identifier: GPL-3.0-or-later
"""Users as the VPN asked for them a moment ago, so that a login, which asks twice, and a storm of them ask little.

Everything this process writes empties the cache with its commit. Another process that writes to the database beside it
is noticed after ``LIFETIME``. Names that nobody has are never kept: whoever tries them would fill it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vpn_frontend.ports import UserRecord

LIFETIME = 10.0  # seconds
CAPACITY = 4_096  # users; the one read longest ago gives way


class UserCache:
    def __init__(self, *, lifetime: float = LIFETIME, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[float, UserRecord]] = OrderedDict()  # in the order of their ends
        self._generation = 0

    def clear(self) -> None:
        """Users have changed. What is being read at this moment is not kept either."""
        self._generation += 1
        self._kept.clear()

    def recall(self, name: str, now: float) -> UserRecord | None:
        """The user of exactly this spelling, if the cache has it."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and now < kept[0] else None

    async def find(
        self, name: str, now: float, read: Callable[[str], Awaitable[UserRecord | None]]
    ) -> UserRecord | None:
        """The user of exactly this spelling, from the cache or by ``read``."""
        kept = self.recall(name, now)
        if kept is not None:
            return kept
        generation = self._generation
        user = await read(name)
        if user is not None and generation == self._generation:
            self._kept[name] = (now + self._lifetime, user)
            self._kept.move_to_end(name)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return user
