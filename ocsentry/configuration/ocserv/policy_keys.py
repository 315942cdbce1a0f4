# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of what ocserv does with strangers and around sessions: bans, proxies, hooks, camouflage, headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.kdc_proxies import read_kdcs
from ocsentry.configuration.ocserv.rows import (
    Row,
    assembled,
    differs,
    ignored,
    mapped,
    number_of,
    switch_of,
)
from vpn_frontend.http_headers import MAX_HEADERS, RESERVED, parse_header

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Read
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

PRIVATE = [  # RFC 1918, RFC 4193, loopback and link-local: no stranger on the Internet has such an address
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
    *("fc00::/7", "::1/128", "fe80::/10"),
]
MAX_DRAIN = 3600  # seconds
HOOKS = "With ocserv's environment, without a shell, killed after `vpn.hooks.timeout`."
CONNECT = f"{HOOKS} At reconnects it runs after disconnect-script."
HEADERS = "Headers that the server sets itself are left out."
BANS = (
    "Rules of their own for failed logins and for connections, in the state folder's rules/ocserv.json. "
    "ocserv bans no host of its own networks; here loopback is never banned."
)


def _read_drain(target: Target, entries: tuple[Entry, ...]) -> None:
    value = number_of(target, entries[-1])
    if value is not None:
        for key in ("vpn.drain", "vpn.drain_at_least"):
            target.set(key, min(-(-value // 1000), MAX_DRAIN), entries[-1])


def _read_program(hook: str) -> Read:
    """ocserv runs the file by execv: the value is a path, with no arguments in it."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        target.set(f"vpn.hooks.{hook}", [target.file(entries[-1], entries[-1].value)], entries[-1])
        if hook == "connect":
            target.set("vpn.hooks.each_connection", True, entries[-1])

    return read


def _read_headers(key: str) -> Read:
    """A header that the server sets itself stays its own; a line that is none is refused."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        found: list[str] = []
        for entry in entries:
            name = entry.value.partition(":")[0].strip().lower()
            if name in RESERVED:
                target.ignore(entry, f"the server itself sets {name}")
            elif len(found) == MAX_HEADERS:
                target.differs(entry, f"{key} has at most {MAX_HEADERS} headers: this one is left out")
            else:
                try:
                    found.append(str(parse_header(entry.value)))
                except ValueError as error:
                    target.refuse(entry, str(error))
        target.set(key, found, entries[-1])

    return read


def _read_proxies(target: Target, entries: tuple[Entry, ...]) -> None:
    if switch_of(target, entries[-1]):
        target.set("vpn.proxy_from", PRIVATE, entries[-1])
        target.differs(entries[-1], "only private and loopback addresses must send a PROXY header, and may")


POLICY_KEYS: tuple[Row, ...] = (
    differs("max-ban-score", "policy.rules", BANS, assembled),
    differs("ban-time", "policy.rules", "The penalty of these rules.", assembled, alias="min-reauth-time"),
    differs("ban-reset-time", "policy.rules", "The window of these rules.", assembled),
    differs("ban-points-wrong-password", "policy.rules", "Weight of a failed login; 0: no rule.", assembled),
    differs("ban-points-connection", "policy.rules", "Weight of a connection; 0: no rule.", assembled),
    ignored("ban-points-kkdcp", "Requests for KDCs are bounded in number and time, and count as no failure."),
    differs(
        "rate-limit-ms",
        "policy.rules",
        "Per source, not for all together: a rule for connections, where ban-points-connection makes none.",
        assembled,
    ),
    mapped("server-drain-ms", "vpn.drain, vpn.drain_at_least", _read_drain, "Whole seconds, rounded up."),
    differs(
        "listen-proxy-proto",
        "vpn.proxy_from",
        "Headers are taken from private and loopback addresses; ocserv believes every peer.",
        _read_proxies,
    ),
    mapped("connect-script", "vpn.hooks.connect", _read_program("connect"), CONNECT),
    mapped("disconnect-script", "vpn.hooks.disconnect", _read_program("disconnect"), HOOKS),
    mapped("host-update-script", "vpn.hooks.host_update", _read_program("host_update"), HOOKS),
    mapped("camouflage", "vpn.camouflage.secret", assembled, "On without a secret is refused."),
    mapped("camouflage_secret", "vpn.camouflage.secret", assembled),
    mapped("camouflage_realm", "vpn.camouflage.realm", assembled),
    mapped("custom-header", "vpn.extra_headers", _read_headers("vpn.extra_headers"), HEADERS, several=True),
    mapped("included-http-headers", "vpn.http_headers", _read_headers("vpn.http_headers"), HEADERS, several=True),
    mapped("kkdcp", "vpn.kdc_proxy", read_kdcs, "KDCs are asked over TCP, also those of udp@.", several=True),
)
