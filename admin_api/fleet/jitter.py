# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes do at different moments what each of them does again and again, or after an outage of the database.

Without it all nodes that an event has brought into step, such as a start of the database, would stay in step, and ask
it for the same at once.
"""

from __future__ import annotations

from random import SystemRandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 0.2  # of a pause, by which it is longer or shorter


class Jitter:
    """Of one node. Used by any thread, if its source can be."""

    def __init__(self, source: Callable[[], float] | None = None) -> None:
        """``source``: returns numbers from 0 up to 1; ``None``: at random."""
        self._source = source or SystemRandom().random

    def around(self, seconds: float) -> float:
        """A pause of ``seconds``, up to ``SHARE`` of them longer or shorter."""
        return seconds * (1 + SHARE * (2 * self._source() - 1))

    def up_to(self, seconds: float) -> float:
        """A wait from 0 up to ``seconds``."""
        return seconds * self._source()
