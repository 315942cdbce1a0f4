# SPDX-License-Identifier: GPL-3.0-or-later
"""Random ids of sessions, in hex. They are public, unlike cookies, so they may be drawn ahead."""

from __future__ import annotations

import secrets

ID_SIZE = 8  # bytes; those of a fleet are longer (``fleet.port``)
AHEAD = 512  # bytes per draw: each is a system call, and gives other threads the interpreter's lock


class SessionIds:
    """Used on one thread."""

    def __init__(self) -> None:
        self._drawn = ""

    def take(self, size: int = ID_SIZE) -> str:
        """An id of ``size`` bytes that was not taken before."""
        if len(self._drawn) < 2 * size:
            self._drawn = secrets.token_hex(AHEAD)
        taken, self._drawn = self._drawn[: 2 * size], self._drawn[2 * size :]
        return taken
