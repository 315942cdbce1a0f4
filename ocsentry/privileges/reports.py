# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log and /readyz say of privileges: what is in force, what is missing, and whether the helper lives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocsentry.observability.event_catalog import LogEvent, level_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocsentry.configuration.model import ProcessSection
    from ocsentry.observability.event_sink import LineWriter
    from ocsentry.privileges.drop import Dropped
    from ocsentry.privileges.helper.client import Helper
    from ocsentry.privileges.started_helper import StartedHelper
    from vpn_frontend.ports import EventSink


def report_drop(dropped: Dropped, process: ProcessSection, log: LineWriter) -> None:
    """One line for what is in force, and one for each restriction that is not."""

    def write(event: LogEvent, **fields: object) -> None:
        log.write(event, level_of(event), **fields)

    mode = process.seccomp if dropped.seccomp else "off"
    write(
        LogEvent.PRIVILEGES_DROPPED,
        user=dropped.user,
        seccomp=mode,
        landlock_version=dropped.landlock,
        key_isolation=process.key_isolation,
    )
    if dropped.user == 0:
        write(LogEvent.RUNNING_AS_ROOT, fix="set process.user to a user of the server's own")
    for restriction in dropped.missing:
        write(LogEvent.RESTRICTION_MISSING, restriction=restriction)


NAME = "helper process"
CONSEQUENCE = "certificates cannot be reloaded until the server is restarted"


class HelperWatch:
    """Notices the end of the helper process, and has the others tell theirs. ``start``, ``stop`` on the event loop."""

    def __init__(self, helper: Helper, others: Iterable[StartedHelper], events: EventSink) -> None:
        for other in others:
            other.events = events
        self._helper = helper
        self._events = events
        self._problem: str | None = None

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._helper, self._on_end)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._helper)

    async def check(self) -> str | None:
        """What /readyz says; ``None``: the helper runs."""
        return self._problem

    def _on_end(self) -> None:
        if not self._helper.has_ended():
            return  # an answer, which another thread waits for
        self.stop()
        self._problem = f"it is gone; {CONSEQUENCE}"
        self._events.emit(LogEvent.HELPER_LOST, helper=NAME, consequence=CONSEQUENCE)
