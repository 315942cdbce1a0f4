# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the server: where it listens, its certificate, its process, its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from ocsentry.configuration.ocserv.rows import (
    Row,
    assembled,
    differs,
    ignored,
    ignored_if_on,
    mapped,
    number_of,
    path,
    refused,
    text,
)
from ocsentry.observability.syslog_output import Facility

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

SYSLOG = (
    "In ocserv's lines, beside standard output. Without the key: daemon, unless standard output is the journal's: it "
    "has the lines then."
)
CLEAR_FILE = (
    "ocserv removed it in 1.1.2, and there is no way in without TLS: have the proxy pass TLS on as it comes (haproxy: "
    "mode tcp, with send-proxy-v2), to listen-host, with listen-proxy-proto."
)
LOG_LEVELS = ("warning", "warning", "info", "info")  # from 4 on: debug


def _read_log_level(target: Target, entries: tuple[Entry, ...]) -> None:
    level = number_of(target, entries[-1])
    if level is not None:
        target.set("log.level", log_level(level), entries[-1])


def log_level(level: int) -> str:
    """The word for one of ocserv's numbers."""
    return LOG_LEVELS[level] if level < len(LOG_LEVELS) else "debug"


def _read_facility(target: Target, entries: tuple[Entry, ...]) -> None:
    name = entries[-1].value.lower()
    if name not in get_args(Facility):
        target.refuse(entries[-1], f"{name!r} is not one of {', '.join(get_args(Facility))}")
        return
    target.set("log.syslog", name, entries[-1])
    target.set("log.syslog_format", "ocserv", entries[-1])


def _read_device(target: Target, entries: tuple[Entry, ...]) -> None:
    target.set("vpn.network.device", entries[-1].value + "0", entries[-1])


def _refuse_clear_file(target: Target, entries: tuple[Entry, ...]) -> None:
    target.refuse(entries[-1], CLEAR_FILE)


def _read_dyndns(target: Target, entries: tuple[Entry, ...]) -> None:
    ignored_if_on("listen-host is looked up at the start only: set listen-host to * or restart")(target, entries)


def _read_priorities(target: Target, entries: tuple[Entry, ...]) -> None:
    entry = entries[-1]
    words = [word for word in entry.value.split(":") if word and not word.startswith("%") and word != "@SYSTEM"]
    dropped = [word for word in words if word not in TLS_WORDS]
    if dropped:
        target.differs(entry, f"{':'.join(dropped)}: TLS 1.2 and 1.3 with AEAD ciphers are offered regardless")


TLS_WORDS = frozenset(
    {
        "NORMAL",
        "SECURE",
        "SECURE128",
        "PERFORMANCE",
        "-VERS-SSL3.0",
        "-VERS-TLS1.0",
        "-VERS-TLS1.1",
        "-RSA",
        "-ARCFOUR-128",
    }
)  # what holds here in any case

SERVER_KEYS: tuple[Row, ...] = (
    mapped("listen-host", "vpn.listen", assembled, "A host name is looked up at the start."),
    mapped("udp-listen-host", "vpn.dtls_listen", assembled),
    mapped("tcp-port", "vpn.listen", assembled, "0 is refused: there is no server without TCP."),
    mapped("udp-port", "vpn.dtls, vpn.dtls_listen", assembled, "0 or absent: no DTLS."),
    differs("listen-host-is-dyndns", "", "A host name is looked up at the start only.", _read_dyndns),
    mapped("listen-netns", "vpn.listen_netns", text("vpn.listen_netns"), "The server has to start as root."),
    refused("listen-clear-file", CLEAR_FILE, _refuse_clear_file),
    ignored("run-as-user", "Set User= in the unit, or process.user after an import."),
    ignored("run-as-group", "Set Group= in the unit."),
    ignored("socket-file", "There is no second process behind a socket."),
    mapped("occtl-socket-file", "admin.socket", assembled, "A link to the server's own socket, with use-occtl."),
    mapped(
        "use-occtl",
        "admin.socket",
        assembled,
        "The socket is there in any case; on, it has ocserv's name too.",
        alias="use-dbus",
    ),
    ignored("chroot-dir", "Landlock does this. Files that lie only below it are found there."),
    mapped("pid-file", "--pid-file", assembled),
    ignored("sec-mod-scale", "There are no security module processes."),
    ignored("sec-mod-db-cleanup-time", "Sessions end at their own time."),
    ignored("isolate-workers", "seccomp and Landlock are always on; process.seccomp says how.", alias="use-seccomp"),
    ignored("limit-worker-memory", "Memory is bounded by the tables' sizes; MemoryMax= of systemd for the whole."),
    ignored("use-utmp", "Sessions are in the database."),
    mapped("log-level", "log.level", _read_log_level, "0 and 1: warning; 2 and 3: info; from 4: debug."),
    mapped("syslog-facility", "log.syslog", _read_facility, SYSLOG),
    ignored("server-stats-reset-time", "Counters count from the start."),
    mapped("server-cert", "vpn.certificate, vpn.certificates", assembled, several=True),
    mapped("server-key", "vpn.private_key", assembled, "Keys in a token (pkcs11:, tpmkey:) are refused.", several=True),
    mapped("pin-file", "vpn.private_key_password_file", assembled, "The password of an encrypted key."),
    ignored("srk-pin-file", "Keys of a TPM are refused."),
    mapped("key-pin", "vpn.private_key_password_file", assembled, "The password goes to a file of the state folder."),
    ignored("srk-pin", "Keys of a TPM are refused."),
    ignored("dh-params", "Key exchange is ECDHE, or with the groups of RFC 7919."),
    mapped("ocsp-response", "vpn.ocsp_response", path("vpn.ocsp_response")),
    differs("tls-priorities", "", "TLS 1.2 and 1.3 with AEAD ciphers, whatever it says.", _read_priorities),
    ignored("match-tls-dtls-ciphers", "DTLS negotiates its own cipher."),
    ignored("debug-no-secmod-stats", "It serves ocserv's own tests."),
    mapped("device", "vpn.network.device", _read_device, "One device for all clients: the name with 0 behind it."),
    ignored("try-mtu-discovery", "The path's MTU is always discovered where needed."),
    ignored("output-buffer", "Queues are bounded by time, not by a number of packets."),
    ignored("net-priority", "Packets keep the class of the inner packet's sender."),
    ignored("cgroup", "ocserv removed it in 1.5; Slice= of systemd does this."),
)
