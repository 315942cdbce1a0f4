# SPDX-License-Identifier: GPL-3.0-or-later
"""Every event that the log, ``ocsentry events`` and the API's event stream know, and how severe it is.

Names are stable. A test holds that whatever the packages emit is listed here, and ``docs/operations.md`` shows this
table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from admin_api.log_events import ApiEvent
from vpn_frontend.ports import VpnEvent

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(StrEnum):
    """The events of the process itself."""

    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CERTIFICATE_RELOADED = "certificate_reloaded"
    CERTIFICATE_REFUSED = "certificate_refused"
    DECISION = "decision"
    SUSPICION = "suspicion"
    DATABASES_LOADING = "databases_loading"
    FEED_UPDATED = "feed_updated"
    FEED_FAILED = "feed_failed"
    PENALTIES_RESTORED = "penalties_restored"
    SOURCES_NOT_NOTED = "sources_not_noted"
    WATCH_LOST = "watch_lost"
    EVENTS_SUPPRESSED = "events_suppressed"
    LOG_LINES_LOST = "log_lines_lost"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    level: Level
    meaning: str


EVENT_CATALOG: dict[str, CatalogEntry] = {
    LogEvent.READY: CatalogEntry("info", "The server accepts clients."),
    LogEvent.STOPPING: CatalogEntry("info", "A signal asked the server to end; clients are told."),
    LogEvent.STOPPED: CatalogEntry("info", "Everything that the server made is removed."),
    LogEvent.CERTIFICATE_RELOADED: CatalogEntry("info", "New connections get the certificate that is on disk now."),
    LogEvent.CERTIFICATE_REFUSED: CatalogEntry(
        "error", "The certificate on disk cannot be used; the one before is kept."
    ),
    LogEvent.PENALTIES_RESTORED: CatalogEntry(
        "info", "Sources that were in the penalty box at the last stop are so again."
    ),
    LogEvent.SOURCES_NOT_NOTED: CatalogEntry(
        "warning",
        "More sources did something than a restart remembers: those with the least against them are left out.",
    ),
    LogEvent.WATCH_LOST: CatalogEntry(
        "error", "Rule files are not watched for the moment; SIGHUP and the API still reload."
    ),
    LogEvent.EVENTS_SUPPRESSED: CatalogEntry("warning", "So many events of one kind came that some are only counted."),
    LogEvent.LOG_LINES_LOST: CatalogEntry("warning", "Nobody read the log fast enough: so many lines are missing."),
    LogEvent.MESSAGE: CatalogEntry("info", "A library said something: `logger`, `message`."),
    ApiEvent.POLICY_LOADED: CatalogEntry(
        "info", "A policy is in force: version, number of rules, sessions that it cut."
    ),
    ApiEvent.POLICY_REFUSED: CatalogEntry(
        "error", "Rules could not be read: `problems`. The policy before stays in force."
    ),
    LogEvent.DATABASES_LOADING: CatalogEntry("info", "Large databases of places are being read: `percent`."),
    LogEvent.FEED_UPDATED: CatalogEntry("info", "A block list was fetched anew: how many entries it has."),
    LogEvent.FEED_FAILED: CatalogEntry("warning", "A block list could not be fetched; the copy before stays in force."),
    ApiEvent.SCHEDULE_CHANGED: CatalogEntry(
        "info", "Rules with hours came into force or left it, and how many sessions that cut."
    ),
    ApiEvent.TOKEN_REFUSED: CatalogEntry("warning", "Somebody called the API with a token that is not one."),
    LogEvent.DECISION: CatalogEntry(
        "debug", "A verdict: `verdict`, `reason`, `rule`. Only so many a second; `missed` counts."
    ),
    LogEvent.SUSPICION: CatalogEntry("warning", "A detector noticed something about a login: `note`."),
    ApiEvent.RULE_CHANGED: CatalogEntry("info", "A rule was added, replaced or removed through the API."),
    ApiEvent.BLOCK_ADDED: CatalogEntry("info", "A network is blocked: by whom, why, and how many sessions that cut."),
    ApiEvent.BLOCK_REMOVED: CatalogEntry("info", "A block was lifted, by whom."),
    ApiEvent.BLOCK_EXPIRED: CatalogEntry("info", "A block came to its end."),
    VpnEvent.LOGIN_ACCEPTED: CatalogEntry("info", "A user name and password were right."),
    VpnEvent.LOGIN_REFUSED: CatalogEntry("warning", "A login was refused: `reason`."),
    VpnEvent.TUNNEL_REFUSED: CatalogEntry("warning", "A user who is logged in got no tunnel: `reason`."),
    VpnEvent.SESSION_OPENED: CatalogEntry("info", "A tunnel is up, with these inner addresses."),
    VpnEvent.SESSION_ROAMED: CatalogEntry("info", "The client of a session came back on a new channel."),
    VpnEvent.CHANNEL_LOST: CatalogEntry("info", "A session has no channel now and waits for its client: `cause`."),
    VpnEvent.SESSION_CLOSED: CatalogEntry("info", "A session ended: `reason`, and the bytes it carried."),
    VpnEvent.DTLS_UP: CatalogEntry("info", "A session carries its packets over DTLS now."),
    VpnEvent.DTLS_DOWN: CatalogEntry("info", "DTLS of a session ended: `cause`. Its packets go over TLS."),
    VpnEvent.LINK_REFUSED: CatalogEntry(
        "info", "A connection without a tunnel was cut for what it sent, its slowness or its number: `reason`."
    ),
    VpnEvent.BACKEND_FAILED: CatalogEntry("error", "The user directory or the journal did not answer."),
}


def level_of(kind: str) -> Level:
    """How severe an event is; one that is not listed is shown."""
    entry = EVENT_CATALOG.get(kind)
    return entry.level if entry else "info"


def render_table() -> str:
    """The vocabulary as Markdown, for the docs."""
    rows = [f"| `{kind}` | {entry.level} | {entry.meaning} |" for kind, entry in EVENT_CATALOG.items()]
    return "\n".join(["| event | level | meaning |", "|---|---|---|", *rows])
