# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags of routes and results by their names in wolfSentry's configuration, with the numbers of its header."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """``wolfsentry_route_flags_t``. The order of bits is also the order in which routes compare."""

    FAMILY_WILD = 1 << 0
    REMOTE_ADDRESS_WILD = 1 << 1
    PROTOCOL_WILD = 1 << 2
    LOCAL_PORT_WILD = 1 << 3
    LOCAL_ADDRESS_WILD = 1 << 4
    REMOTE_PORT_WILD = 1 << 5
    REMOTE_INTERFACE_WILD = 1 << 6
    LOCAL_INTERFACE_WILD = 1 << 7
    EVENT_WILD = 1 << 8
    TCPLIKE = 1 << 9
    INBOUND = 1 << 10
    OUTBOUND = 1 << 11
    REMOTE_BITMASK = 1 << 12
    LOCAL_BITMASK = 1 << 13
    BOXED = 1 << 20
    GREEN = 1 << 21
    NO_HITS = 1 << 22
    NO_CONNECTIONS = 1 << 23
    PORT_RESET = 1 << 24


WILD = Flag(0xFF)  # the eight fields that a route may leave out
IMMUTABLE = Flag(0x3FFF)  # identify a route; the others are state

FLAGS = {
    "af-wild": Flag.FAMILY_WILD,
    "raddr-wild": Flag.REMOTE_ADDRESS_WILD,
    "rport-wild": Flag.REMOTE_PORT_WILD,
    "laddr-wild": Flag.LOCAL_ADDRESS_WILD,
    "lport-wild": Flag.LOCAL_PORT_WILD,
    "riface-wild": Flag.REMOTE_INTERFACE_WILD,
    "liface-wild": Flag.LOCAL_INTERFACE_WILD,
    "tcplike-port-numbers": Flag.TCPLIKE,
    "direction-in": Flag.INBOUND,
    "direction-out": Flag.OUTBOUND,
    "penalty-boxed": Flag.BOXED,
    "green-listed": Flag.GREEN,
    "dont-count-hits": Flag.NO_HITS,
    "dont-count-current-connections": Flag.NO_CONNECTIONS,
    "port-reset": Flag.PORT_RESET,
}
RESULTS = (
    "accept", "reject", "connect", "disconnect", "derogatory", "commendable", "stop", "deallocated", "inserted",
    "error", "fallthrough", "update", "port-reset", "sending", "received", "binding", "listening",
    "stopped-listening", "connecting-out", "closed", "unreachable", "sock-error", "close-wait", "reserved-23",
    *(f"user+{n}" for n in range(8)),
)  # fmt: skip  # the index is the bit of wolfsentry_action_res_t
DECIDED = frozenset({"accept", "reject", "stop", "deallocated", "error"})  # decisions, which a caller may not pass
TRACK_PEER = "%track-peer-v1"  # the built-in action: insert a route for this traffic


def combine(words: list[str]) -> Flag:
    """The flags of these names."""
    flags = Flag(0)
    for word in words:
        flags |= FLAGS[word]
    return flags


def write_results(words: frozenset[str] | set[str]) -> int:
    return sum(1 << RESULTS.index(word) for word in words)


def read_results(bits: int) -> frozenset[str]:
    return frozenset(word for at, word in enumerate(RESULTS) if bits >> at & 1)
