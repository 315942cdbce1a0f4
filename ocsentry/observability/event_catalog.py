# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of all events in the log, ``ocsentry events`` and the API's event stream, with their levels.

Names are stable. A test checks that every emitted event is listed; ``docs/operations.md`` renders this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from admin_api.log_events import ApiEvent
from sentry_engine.records import dataclass
from vpn_frontend.ports import VpnEvent

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(StrEnum):
    """The events of the server process."""

    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CONFIGURATION_RELOADED = "configuration_reloaded"
    CONFIGURATION_REFUSED = "configuration_refused"
    CERTIFICATE_RELOADED = "certificate_reloaded"
    CERTIFICATE_REFUSED = "certificate_refused"
    CLIENT_AUTHORITIES_RELOADED = "client_authorities_reloaded"
    DECISION = "decision"
    HOOK_FAILED = "hook_failed"
    SUSPICION = "suspicion"
    DATABASES_LOADING = "databases_loading"
    FEED_UPDATED = "feed_updated"
    FEED_FAILED = "feed_failed"
    PENALTIES_RESTORED = "penalties_restored"
    SOURCES_NOT_NOTED = "sources_not_noted"
    STATE_SAVED_WHOLE = "state_saved_whole"
    STATE_NOT_RESTORED = "state_not_restored"
    WATCH_LOST = "watch_lost"
    PRIVILEGES_DROPPED = "privileges_dropped"
    RUNNING_AS_ROOT = "running_as_root"
    RESTRICTION_MISSING = "restriction_missing"
    HELPER_LOST = "helper_lost"
    ROUTES_LOST = "routes_lost"
    ROUTES_RESTORED = "routes_restored"
    WORKER_STUCK = "worker_stuck"
    LOOP_STUCK = "loop_stuck"
    KERNEL_FILTER_FAILED = "kernel_filter_failed"
    KERNEL_FILTER_BEHIND = "kernel_filter_behind"
    KERNEL_FILTER_RESTORED = "kernel_filter_restored"
    KERNEL_FILTER_FULL = "kernel_filter_full"
    EVENTS_SUPPRESSED = "events_suppressed"
    LOG_LINES_LOST = "log_lines_lost"
    OCSERV_KEY_DIFFERS = "ocserv_key_differs"
    OCSERV_KEY_IGNORED = "ocserv_key_ignored"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """Level and meaning of one event."""

    level: Level
    meaning: str


EVENT_CATALOG: dict[str, CatalogEntry] = {
    LogEvent.READY: CatalogEntry("info", "The server accepts clients."),
    LogEvent.STOPPING: CatalogEntry("info", "A signal asked the server to stop; clients are being disconnected."),
    LogEvent.STOPPED: CatalogEntry("info", "The server has stopped and removed its sockets and its device."),
    LogEvent.CONFIGURATION_RELOADED: CatalogEntry(
        "info", "Changed keys of the configuration are `in_force`; others wait for a restart (`needs_restart`)."
    ),
    LogEvent.CONFIGURATION_REFUSED: CatalogEntry(
        "error", "The configuration's file has errors: `problems`. Nothing is reloaded."
    ),
    LogEvent.CERTIFICATE_RELOADED: CatalogEntry("info", "New connections get the certificate that is now on disk."),
    LogEvent.CLIENT_AUTHORITIES_RELOADED: CatalogEntry(
        "info", "New connections use the client authorities, revocation lists and OCSP responses on disk."
    ),
    LogEvent.CERTIFICATE_REFUSED: CatalogEntry(
        "error", "The certificate on disk cannot be used; the earlier one stays in use."
    ),
    LogEvent.HOOK_FAILED: CatalogEntry(
        "warning",
        "A hook (`connect`, `disconnect`, `host_update`), or PAM with it, refused, took too long or could not be run: "
        "`problem`.",
    ),
    LogEvent.PENALTIES_RESTORED: CatalogEntry("info", "Penalties of the last run are in force again: `count`."),
    LogEvent.SOURCES_NOT_NOTED: CatalogEntry(
        "warning", "More sources than a restart can remember; those with the fewest strikes and events are left out."
    ),
    LogEvent.STATE_SAVED_WHOLE: CatalogEntry(
        "info", "All that is known of sources and users was saved, not what changed alone: `reason`, `seconds`."
    ),
    LogEvent.STATE_NOT_RESTORED: CatalogEntry(
        "warning", "Saved `rows` of what was known of sources and users cannot be read and are left out: `error`."
    ),
    LogEvent.WATCH_LOST: CatalogEntry(
        "error", "Rule files are not watched at present; SIGHUP and the API still reload them."
    ),
    LogEvent.PRIVILEGES_DROPPED: CatalogEntry(
        "info", "The process gave up its privileges: its user, the seccomp mode, the Landlock version (0: none)."
    ),
    LogEvent.RUNNING_AS_ROOT: CatalogEntry("warning", "The server has no user of its own and stays root: `fix`."),
    LogEvent.RESTRICTION_MISSING: CatalogEntry("warning", "The kernel does not support a restriction: `restriction`."),
    LogEvent.HELPER_LOST: CatalogEntry(
        "error", "The process of a `helper` ended. The server goes on without what it does: `consequence`."
    ),
    LogEvent.ROUTES_LOST: CatalogEntry(
        "error",
        "The kernel sends packets for these `networks`, of or behind clients, elsewhere than to the TUN `device`.",
    ),
    LogEvent.ROUTES_RESTORED: CatalogEntry("info", "Packets for clients go to the TUN `device` again."),
    LogEvent.WORKER_STUCK: CatalogEntry(
        "error", "Workers made no turn of their loop though they were woken. The server ends, to be started again."
    ),
    LogEvent.LOOP_STUCK: CatalogEntry(
        "error", "The event loop made no turn for `seconds`. The process ends at once, to be started again."
    ),
    LogEvent.KERNEL_FILTER_FAILED: CatalogEntry(
        "error", "The packet filter in the kernel could not be changed: `error`. The server itself refuses its sources."
    ),
    LogEvent.KERNEL_FILTER_BEHIND: CatalogEntry(
        "warning", "The kernel may still drop sources that are refused no longer: no answer for `seconds`."
    ),
    LogEvent.KERNEL_FILTER_RESTORED: CatalogEntry("info", "The packet filter in the kernel follows the policy again."),
    LogEvent.KERNEL_FILTER_FULL: CatalogEntry(
        "warning", "A set of the packet filter is full. The server itself refuses the `left_out` networks."
    ),
    LogEvent.EVENTS_SUPPRESSED: CatalogEntry(
        "warning", "Events of one kind exceeded the rate limit of the log: `kind`, `count`."
    ),
    LogEvent.LOG_LINES_LOST: CatalogEntry("warning", "The log was not read fast enough; `lines` were lost."),
    LogEvent.OCSERV_KEY_DIFFERS: CatalogEntry(
        "warning", "A line of ocserv's configuration has another effect here than in ocserv, or than it looks."
    ),
    LogEvent.OCSERV_KEY_IGNORED: CatalogEntry("info", "A line of ocserv's configuration has no effect here."),
    LogEvent.MESSAGE: CatalogEntry("info", "A message of a library: `logger`, `message`."),
    ApiEvent.POLICY_LOADED: CatalogEntry(
        "info", "A policy is in force: its version, number of rules, and disconnected sessions."
    ),
    ApiEvent.POLICY_REFUSED: CatalogEntry(
        "error", "The rules have errors: `problems`. The earlier policy stays in force."
    ),
    ApiEvent.POLICY_APPLIED: CatalogEntry(
        "info", "A caller applied a policy: its version. With `confirm_by` it is rolled back then unless confirmed."
    ),
    ApiEvent.POLICY_CONFIRMED: CatalogEntry("info", "A caller confirmed an applied policy: it stays."),
    ApiEvent.POLICY_ROLLED_BACK: CatalogEntry("warning", "The policy of version `to` is in force again, and why."),
    ApiEvent.POLICY_ROLLBACK_FAILED: CatalogEntry(
        "error", "An unconfirmed policy could not be rolled back yet: `error`. It is tried again."
    ),
    ApiEvent.RULE_FILES_HELD: CatalogEntry(
        "warning", "After a rollback these `files` on disk differ from the rules in force, until they change again."
    ),
    LogEvent.DATABASES_LOADING: CatalogEntry("info", "Large GeoIP databases are being read: `percent`."),
    LogEvent.FEED_UPDATED: CatalogEntry("info", "A block list was downloaded: number of `entries`."),
    LogEvent.FEED_FAILED: CatalogEntry(
        "warning", "A block list could not be downloaded; the earlier copy stays in force."
    ),
    ApiEvent.SCHEDULE_CHANGED: CatalogEntry(
        "info", "Scheduled rules began or ceased to apply; number of disconnected sessions."
    ),
    ApiEvent.WEBHOOK_DELIVERY_DEAD: CatalogEntry(
        "error", "An event could not be delivered to a webhook and is given up: `event`, `error` of the last attempt."
    ),
    ApiEvent.WEBHOOK_DISABLED: CatalogEntry("error", "The server delivers no more to a webhook: `reason`."),
    ApiEvent.WEBHOOK_QUEUE_FULL: CatalogEntry(
        "error", "The queue of a webhook is full; `dropped` events are not delivered."
    ),
    ApiEvent.TOKEN_REFUSED: CatalogEntry("warning", "An API call used an unknown token."),
    LogEvent.DECISION: CatalogEntry(
        "debug", "A verdict: `verdict`, `reason`, `rule`. Limited per second; `missed` counts the rest."
    ),
    LogEvent.SUSPICION: CatalogEntry("warning", "A detector reported a login: `note`."),
    ApiEvent.RULE_CHANGED: CatalogEntry("info", "A rule was added, replaced or removed through the API."),
    ApiEvent.BLOCK_ADDED: CatalogEntry(
        "info", "A network was blocked: caller, reason, and number of disconnected sessions."
    ),
    ApiEvent.BLOCK_REMOVED: CatalogEntry("info", "A block was removed by a caller."),
    ApiEvent.BLOCK_EXPIRED: CatalogEntry("info", "A block reached its end."),
    ApiEvent.BLOCKS_IMPORTED: CatalogEntry(
        "info", "Many blocks were imported: `created`, `changed`, `refused`, and number of disconnected sessions."
    ),
    ApiEvent.BLOCK_CHANGES_NOT_STORED: CatalogEntry(
        "error", "Blocks were added or removed at once, but the database cannot be written: `error`. It is tried again."
    ),
    ApiEvent.BLOCK_CHANGES_STORED: CatalogEntry("info", "Changes of blocks that waited for the database are stored."),
    ApiEvent.BLOCK_CHANGES_LOST: CatalogEntry(
        "error", "The server stops, and changes of blocks could not be stored: a restart forgets these `networks`."
    ),
    ApiEvent.FLEET_JOINED: CatalogEntry("info", "This node has joined its fleet: `epoch`."),
    ApiEvent.FLEET_CUT_OFF: CatalogEntry(
        "error", "The database has not heard this node for so long that others may have taken over its sessions."
    ),
    ApiEvent.FLEET_RETURNED: CatalogEntry("info", "This node acts for its fleet again, `away` seconds later."),
    ApiEvent.FLEET_RETURN_FAILED: CatalogEntry(
        "error", "This node is heard again, but could not compare its sessions with the database. It is tried again."
    ),
    ApiEvent.FLEET_CHANGES_FAILED: CatalogEntry(
        "error", "Changes of other nodes could not be read or applied: `error`. It is tried again."
    ),
    ApiEvent.FLEET_COMPARISON_WAITS: CatalogEntry(
        "warning",
        "The log of changes does not reach back to this node, and it may not read the whole state of the fleet yet: "
        "`reason`. What it has stays in force; it asks again each second.",
    ),
    ApiEvent.FLEET_CHANGE_UNKNOWN: CatalogEntry(
        "warning", "A node of a newer version has made changes of a kind that this node does not know: `change`."
    ),
    ApiEvent.FLEET_BLOCKS_TAKEN: CatalogEntry("info", "Blocks of other nodes are in force here, or gone."),
    ApiEvent.FLEET_PEER_REFUSED: CatalogEntry(
        "warning", "Something that is no node of this fleet, or a node's message that is not taken: `reason`."
    ),
    ApiEvent.FLEET_POLICY_ABORTED: CatalogEntry(
        "warning", "A change of the policy is in force on no node, because one could not use it: `problems`."
    ),
    ApiEvent.FLEET_CANARY_STARTED: CatalogEntry(
        "info", "A policy is tried on this node before all others. It is withdrawn at `confirm_by` unless confirmed."
    ),
    ApiEvent.FLEET_CANARY_ENDED: CatalogEntry(
        "info", "A policy that was tried on some nodes is in force on all of them, or was withdrawn: `outcome`."
    ),
    ApiEvent.FLEET_STORE_RESTORED: CatalogEntry(
        "error", "The database is older than what is in force here, such as after a restore. Blocks are written again."
    ),
    ApiEvent.FLEET_SESSIONS_DIFFERED: CatalogEntry(
        "warning",
        "The database had `lost` sessions that this node does not carry, and lacked `asserted` that it carries, such as"
        " after a failover. Clients of the former may come back; the latter are admitted again, or end.",
    ),
    VpnEvent.LOGIN_ACCEPTED: CatalogEntry("info", "A login was accepted."),
    VpnEvent.LOGIN_REFUSED: CatalogEntry("warning", "A login was refused: `reason`."),
    VpnEvent.TUNNEL_REFUSED: CatalogEntry("warning", "A user who is logged in got no tunnel: `reason`."),
    VpnEvent.STRAP_FAILED: CatalogEntry(
        "warning",
        "A client that may not be the one of the login got its tunnel (`auth.strap`): `reason`.",
    ),
    VpnEvent.SESSION_OPENED: CatalogEntry("info", "A tunnel is up, with these inner addresses."),
    VpnEvent.SESSION_ROAMED: CatalogEntry("info", "The client of a session reconnected on a new channel."),
    VpnEvent.CHANNEL_LOST: CatalogEntry("info", "A session lost its channel and waits for its client: `cause`."),
    VpnEvent.SESSION_CLOSED: CatalogEntry("info", "A session ended: `reason`, and the bytes it carried."),
    VpnEvent.DTLS_UP: CatalogEntry("info", "A session now carries its packets over DTLS."),
    VpnEvent.DTLS_DOWN: CatalogEntry("info", "DTLS of a session ended: `cause`. Its packets go over TLS."),
    VpnEvent.SESSIONS_RESTORED: CatalogEntry(
        "info",
        "After a restart or a crash, `restored` sessions wait for their clients to come back; `ended` ones may not.",
    ),
    VpnEvent.SESSIONS_SUSPENDED: CatalogEntry("info", "The server stops for a restart and leaves `count` sessions."),
    VpnEvent.SESSIONS_LOST: CatalogEntry(
        "warning", "Sessions of the last run cannot be given back, their clients log in again: `count`, `problem`."
    ),
    VpnEvent.OCSP_NOT_STAPLED: CatalogEntry(
        "warning", "An OCSP response is not sent, since clients would refuse it: `problem`. Handshakes work without it."
    ),
    VpnEvent.CLIENTS_REFUSED: CatalogEntry(
        "warning", "Clients will be refused for the state of `auth.certificate.ca` or `crl`: `problem`."
    ),
    VpnEvent.LINK_REFUSED: CatalogEntry(
        "info", "A connection without a tunnel was closed for its content, slowness or number: `reason`."
    ),
    VpnEvent.TUN_LOST: CatalogEntry("error", "The TUN device was deleted. The server ends, to be started again."),
    VpnEvent.TUN_FAILING: CatalogEntry(
        "error",
        "Reads of the TUN device fail: `error`; packets for clients wait. They are tried 10 times a second. An empty "
        "`error` says that they work again.",
    ),
    VpnEvent.SIGNER_LOST: CatalogEntry(
        "error",
        "The signing process is gone. Tunnels go on, but no new client can connect: restart the server.",
    ),
    VpnEvent.RADIUS_SERVER_DEAD: CatalogEntry(
        "error", "A RADIUS server gave no answer; others are asked meanwhile: `purpose`, `error`."
    ),
    VpnEvent.RADIUS_SERVER_ALIVE: CatalogEntry("info", "A RADIUS server answers again."),
    VpnEvent.RADIUS_ANSWER_DROPPED: CatalogEntry(
        "warning", "An answer of a RADIUS server was dropped: `error` says why, and what to change."
    ),
    VpnEvent.ACCOUNTING_DROPPED: CatalogEntry(
        "error", "No accounting server has taken the ends of `count` sessions for a week; they are given up."
    ),
    VpnEvent.USER_FILE_REFUSED: CatalogEntry(
        "warning", "A part of a file of users or of their settings is not used: `file`, `problem`."
    ),
    VpnEvent.IROUTE_FAILED: CatalogEntry(
        "error",
        "The kernel has no route to a client's fixed address, or to a network behind it: `network`, `error`. "
        "It is tried again.",
    ),
    VpnEvent.BACKEND_FAILED: CatalogEntry("error", "The user directory or the session journal did not answer."),
}


def level_of(kind: str) -> Level:
    """Returns the level of an event; ``info`` for one that is not listed."""
    entry = EVENT_CATALOG.get(kind)
    return entry.level if entry else "info"


def render_table() -> str:
    """Returns the catalog as Markdown."""
    rows = [f"| `{kind}` | {entry.level} | {entry.meaning} |" for kind, entry in EVENT_CATALOG.items()]
    return "\n".join(["| event | level | meaning |", "|---|---|---|", *rows])
