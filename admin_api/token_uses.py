# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes when tokens were last used, beside the requests: a database that cannot be written refuses no request."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admin_api.clock import Clock
    from admin_api.store import Store

NOTED_EVERY = 60.0  # seconds between two writes of a token's last use
MAX_NOTED = 4096  # tokens whose last write is remembered; forgetting one costs a write

logger = logging.getLogger(__name__)


class TokenUses:
    """Writes the times of last use in a task. What cannot be written is noted again at the next use."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[str, float] = {}
        self._writing: asyncio.Task[None] | None = None
        self._pending: set[str] = set()

    def note(self, token_id: str) -> None:
        moment = self._clock.monotonic()
        if moment - self._noted.get(token_id, float("-inf")) < NOTED_EVERY:
            return
        if len(self._noted) >= MAX_NOTED:
            self._noted.clear()
        self._noted[token_id] = moment
        self._pending.add(token_id)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="last uses of tokens")

    async def written(self) -> None:
        """Return when every use noted so far is written or given up."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._pending:
            moments = dict.fromkeys(self._pending, self._clock.wall())
            self._pending.clear()
            try:
                async with self._store.write() as unit:
                    await unit.tokens.note_uses(moments)
            except Exception as error:  # noqa: BLE001 - any failure: a request must not depend on it
                logger.warning("the last use of %d tokens could not be noted: %s", len(moments), error)
