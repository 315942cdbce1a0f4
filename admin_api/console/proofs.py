# SPDX-License-Identifier: GPL-3.0-or-later
"""When the persons of the console's sessions last proved who they are.

A session alone is no proof: a provider lets a browser in that has signed in there at any time before. Proofs are in
memory, so after a restart a change that needs one asks for it again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

HOLDS = timedelta(minutes=15)  # after a proof, during which no second one is asked for
MAX_KEPT = 4096  # the oldest is forgotten


class Proofs:
    """The moments of those that still hold, by the id of the session's token. Times are aware."""

    def __init__(self) -> None:
        self._moments: dict[str, datetime] = {}

    def note(self, token_id: str, proved_at: datetime | None, now: datetime) -> None:
        """``proved_at``: as a provider says; ``None``: it does not say."""
        self._moments = {one: at for one, at in self._moments.items() if now - at <= HOLDS}
        if proved_at is None:
            return
        while len(self._moments) >= MAX_KEPT:
            del self._moments[next(iter(self._moments))]
        self._moments[token_id] = min(proved_at, now)

    def holds(self, token_id: str, now: datetime) -> bool:
        proved_at = self._moments.get(token_id)
        return proved_at is not None and now - proved_at <= HOLDS
