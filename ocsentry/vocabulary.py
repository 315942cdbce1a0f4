# SPDX-License-Identifier: GPL-3.0-or-later
"""Every event that the log, ``ocsentry events`` and the API's event stream know, and how severe it is.

Names are stable. A test holds that whatever the packages emit is listed here, and ``docs/operations.md`` shows this
table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(StrEnum):
    """The events of the process itself."""

    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RELOADED = "reloaded"
    RELOAD_FAILED = "reload_failed"
    CERTIFICATE_RELOADED = "certificate_reloaded"
    CERTIFICATE_REFUSED = "certificate_refused"
    SESSIONS_ORPHANED = "sessions_orphaned"
    WATCH_LOST = "watch_lost"
    LOG_LINES_LOST = "log_lines_lost"


@dataclass(frozen=True, slots=True)
class Entry:
    level: Level
    meaning: str


VOCABULARY: dict[str, Entry] = {
    LogEvent.READY: Entry("info", "The server accepts clients."),
    LogEvent.STOPPING: Entry("info", "A signal asked the server to end; clients are told."),
    LogEvent.STOPPED: Entry("info", "Everything the server made is removed."),
    LogEvent.RELOADED: Entry("info", "A policy was put in force: its version, and how many sessions it cut."),
    LogEvent.RELOAD_FAILED: Entry(
        "error", "Rules could not be read; the policy before stays in force. `problems` says why."
    ),
    LogEvent.CERTIFICATE_RELOADED: Entry("info", "New connections get the certificate that is on disk now."),
    LogEvent.CERTIFICATE_REFUSED: Entry("error", "The certificate on disk cannot be used; the one before is kept."),
    LogEvent.SESSIONS_ORPHANED: Entry("warning", "Sessions of a process that crashed were closed in the account."),
    LogEvent.WATCH_LOST: Entry("error", "Rule files are not watched for the moment; SIGHUP and the API still reload."),
    LogEvent.LOG_LINES_LOST: Entry("warning", "Nobody read the log fast enough, so many lines are missing."),
}


def level_of(kind: str) -> Level:
    """How severe an event is; one that is not listed is shown."""
    entry = VOCABULARY.get(kind)
    return entry.level if entry else "info"
