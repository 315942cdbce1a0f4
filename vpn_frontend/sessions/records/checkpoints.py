# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the journal told what live sessions have counted, so that a crash loses a minute of it.

Sessions of which nothing has changed are left out, but every tenth time all are written: the end of a session that a
crash ended is when it was last written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.sessions.live_sessions import LiveSessions
    from vpn_frontend.sessions.records.recorder import SessionRecorder

INTERVAL = 60.0  # seconds between two checkpoints
ALL_EVERY = 10  # checkpoints


class Checkpoints:
    """Call ``write_due`` often. Times are seconds of one clock."""

    def __init__(self, live: LiveSessions, recorder: SessionRecorder, now: float) -> None:
        self._live = live
        self._recorder = recorder
        self._next = now + INTERVAL
        self._count = 0

    def write_due(self, now: float) -> None:
        """Write a checkpoint if it is time, and nothing else waits for the journal."""
        if now < self._next or not self._recorder.idle:
            return
        self._next = now + INTERVAL
        self._count += 1
        self._recorder.checkpoint(self._live.take_changed(every=self._count % ALL_EVERY == 0))
