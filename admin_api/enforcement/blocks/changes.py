# SPDX-License-Identifier: GPL-3.0-or-later
"""The latest changes of blocks, for followers: other firewalls that keep the same blocks.

Changes are numbered. A follower that was away for more than ``KEPT`` changes must begin with all blocks again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from admin_api.enforcement.blocks.table import BlockEntry

KEPT = 65_536


@dataclass(frozen=True, slots=True)
class BlockDelta:
    """``entry`` as it is now; ``gone``: it is in force no longer."""

    number: int
    entry: BlockEntry
    gone: bool


class BlockChanges:
    """Used on the event loop's thread only."""

    def __init__(self, boot: int) -> None:
        """``boot`` tells the numbers of this process from those of an earlier one."""
        self._boot = boot
        self._kept: deque[BlockDelta] = deque(maxlen=KEPT)
        self._number = 0
        self._new = asyncio.Event()
        self._closed = False

    @property
    def number(self) -> int:
        """The number of the latest change."""
        return self._number

    def note(self, entry: BlockEntry, *, gone: bool = False) -> None:
        self._number += 1
        self._kept.append(BlockDelta(self._number, entry, gone))
        self._wake()

    def close(self) -> None:
        """End all followers."""
        self._closed = True
        self._wake()

    @property
    def closed(self) -> bool:
        return self._closed

    def id_of(self, number: int) -> str:
        """Returns the text that names a number, for ``number_of``."""
        return f"{self._boot}-{number}"

    def number_of(self, text: str) -> int | None:
        """Returns the number; ``None`` for one of another process, or one that has not been reached."""
        boot, _, number = text.partition("-")
        if boot != str(self._boot) or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if int(number) <= self._number else None

    def since(self, number: int, limit: int) -> list[BlockDelta] | None:
        """Returns up to ``limit`` changes after ``number``; ``None`` if they are no longer kept."""
        if number >= self._number:
            return []
        oldest = self._kept[0].number
        if number + 1 < oldest:
            return None
        begin = number + 1 - oldest
        return [self._kept[at] for at in range(begin, min(begin + limit, len(self._kept)))]

    def _wake(self) -> None:
        """Wake all followers: each waits for an event of its own time, so none is missed."""
        self._new.set()
        self._new = asyncio.Event()

    async def wait_after(self, number: int) -> None:
        """Wait until there is a change after ``number``, or followers shall end."""
        while number >= self._number and not self._closed:
            await self._new.wait()
