# SPDX-License-Identifier: GPL-3.0-or-later
"""The log in ocserv's lines, for dashboards and fail2ban filters that read them. Pure.

An event becomes the lines that ocserv writes for it. Other events are one line ``main: EVENT key=value …``. The peer's
port is not in the events: lines have 0 there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Fields = dict[str, Any]

OWN = ("event", "level", "timestamp")
# ocserv's words for the reasons of a session's end; any other is "unspecified".
REASONS = {
    "user_disconnect": "user disconnected",
    "logout": "user disconnected",
    "connection_lost": "DPD timeout",
    "node_lost": "DPD timeout",
    "idle_timeout": "idle timeout",
    "session_timeout": "session timeout",
    "failed": "unspecified error",
    "accounting": "unspecified error",
    **dict.fromkeys(
        ("killed", "policy", "replaced", "shutdown", "expired", "schedule", "quota_exceeded"), "server disconnected"
    ),
}
SPECIAL = frozenset("'\"[]():\\")  # what separates the parts of a line


def render_lines(event: Mapping[str, Any]) -> str:
    """Returns the lines of one event, without the last line end."""
    lines = LINES.get(str(event.get("event")), _other)
    return "\n".join(lines(dict(event)))


def plain(value: object) -> str:
    """Text from a client as a word of a line: it can neither end the line nor look like another part of it."""
    return "".join("?" if sign in SPECIAL or not sign.isprintable() else sign for sign in str(value))


def reason_of(code: object) -> str:
    return REASONS.get(str(code), "unspecified")


def _main(fields: Fields) -> str:
    return f"main[{plain(fields.get('user', ''))}]:{_endpoint(fields)}"


def _worker(fields: Fields) -> str:
    return f"worker[{plain(fields.get('user', ''))}]: {_address(fields)}"


def _endpoint(fields: Fields) -> str:
    address = _address(fields)
    return f"[{address}]:0" if ":" in address else f"{address}:0"


def _address(fields: Fields) -> str:
    address = fields.get("address")
    return "unknown" if address is None else str(address)


def _login_accepted(fields: Fields) -> Iterator[str]:
    yield f"{_worker(fields)} User-agent: '{plain(fields.get('user_agent', ''))}'"


def _login_refused(fields: Fields) -> Iterator[str]:
    yield f"main:{_endpoint(fields)} failed authentication attempt for user '{plain(fields.get('user', ''))}'"


def _tunnel_refused(fields: Fields) -> Iterator[str]:
    yield f"{_worker(fields)} failed cookie authentication attempt"


def _session_opened(fields: Fields) -> Iterator[str]:
    yield f"sec-mod: initiating session for user '{plain(fields['user'])}' (session: {fields['session']})"
    yield f"{_main(fields)} new user session"
    yield f"{_main(fields)} user logged in"
    for family, key in (("IPv4", "ipv4"), ("IPv6", "ipv6")):
        if fields.get(key) is not None:
            yield f"{_worker(fields)} sending {family} {fields[key]}"


def _channel_lost(fields: Fields) -> Iterator[str]:
    yield f"sec-mod: temporarily closing session for {plain(fields['user'])} (session: {fields['session']})"


def _session_closed(fields: Fields) -> Iterator[str]:
    if fields.get("reason") == "user_disconnect":
        yield f"{_worker(fields)} received BYE packet; exiting"
    counts = f"rx: {fields.get('rx_bytes', 0)}, tx: {fields.get('tx_bytes', 0)}"
    yield f"{_main(fields)} user disconnected (reason: {reason_of(fields.get('reason'))}, {counts})"
    yield f"sec-mod: invalidating session of user '{plain(fields['user'])}' (session: {fields['session']})"


def _dtls_up(fields: Fields) -> Iterator[str]:
    yield f"{_worker(fields)} DTLS handshake completed"


def _stopped(_: Fields) -> Iterator[str]:
    yield "main: server shutdown complete"


def _other(fields: Fields) -> Iterator[str]:
    pairs = " ".join(f"{key}={_one_line(value)}" for key, value in fields.items() if key not in OWN)
    yield f"main: {fields.get('event', '')} {pairs}".rstrip()


def _one_line(value: object) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))


LINES: dict[str, Callable[[Fields], Iterator[str]]] = {
    "login_accepted": _login_accepted,
    "login_refused": _login_refused,
    "tunnel_refused": _tunnel_refused,
    "session_opened": _session_opened,
    "channel_lost": _channel_lost,
    "session_closed": _session_closed,
    "dtls_up": _dtls_up,
    "stopped": _stopped,
}
