# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting-Requests (RFC 2866, 2869) of a session: start, interim update, stop. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from vpn_frontend.ports import CloseReason
from vpn_frontend.radius.packets import MAX_TEXT, Code, Question, clip_text

if TYPE_CHECKING:
    from datetime import datetime

    from vpn_frontend.accounting.ledger import AccountedSession
    from vpn_frontend.gateway.interface import Counters
    from vpn_frontend.radius.packets import Attributes

FRAMED, PPP = 2, 1  # Service-Type, Framed-Protocol
RADIUS, LOCAL = 1, 2  # Acct-Authentic, RFC 2866 5.6
MAX_CLASSES = 8  # repeated in each packet
MAX_DELAY = 2**31 - 1
NAS_REQUEST = 10

TERMINATE_CAUSES = {  # RFC 2866 5.10
    CloseReason.USER_DISCONNECT: 1,
    CloseReason.LOGOUT: 1,
    CloseReason.CONNECTION_LOST: 2,  # Lost Carrier
    CloseReason.NODE_LOST: 2,
    CloseReason.IDLE_TIMEOUT: 4,
    CloseReason.SESSION_TIMEOUT: 5,
    CloseReason.KILLED: 6,  # Admin Reset
    CloseReason.POLICY: 6,
    CloseReason.SHUTDOWN: 7,  # Admin Reboot
    CloseReason.FAILED: 9,  # NAS Error
    CloseReason.CRASHED: 11,  # NAS Reboot
    CloseReason.REPLACED: 13,  # Port Preempted
    CloseReason.ACCOUNTING: 15,  # Service Unavailable
}


class Status(IntEnum):
    """Acct-Status-Type."""

    START = 1
    STOP = 2
    INTERIM = 3


def start_question(session: AccountedSession, nas_identifier: str, now: datetime) -> Question:
    return _question(Status.START, session, nas_identifier, session.started_at, now)


def interim_question(session: AccountedSession, nas_identifier: str, now: datetime) -> Question:
    measured = _measured(session.counters, _seconds(session.started_at, now))
    return _question(Status.INTERIM, session, nas_identifier, now, now, measured)


def stop_question(session: AccountedSession, nas_identifier: str, now: datetime) -> Question:
    """``session`` has ended."""
    ended_at = session.ended_at or now
    cause = NAS_REQUEST if session.end_reason is None else TERMINATE_CAUSES.get(session.end_reason, NAS_REQUEST)
    measured = _measured(session.counters, _seconds(session.started_at, ended_at))
    return _question(Status.STOP, session, nas_identifier, ended_at, now, (*measured, ("Acct-Terminate-Cause", cause)))


def _question(
    status: Status,
    session: AccountedSession,
    nas_identifier: str,
    happened_at: datetime,
    now: datetime,
    measured: Attributes = (),
) -> Question:
    attributes: list[tuple[str, str | int | bytes]] = [
        ("Acct-Status-Type", status),
        ("Acct-Session-Id", session.id),
        ("User-Name", clip_text(session.name)),
        ("NAS-Identifier", clip_text(nas_identifier)),
        ("Service-Type", FRAMED),
        ("Framed-Protocol", PPP),
        ("Calling-Station-Id", str(session.address)),
        ("Acct-Authentic", RADIUS if session.by_radius else LOCAL),
        ("Event-Timestamp", max(0, int(happened_at.timestamp()))),
        ("Acct-Delay-Time", _seconds(happened_at, now)),
    ]
    if session.ipv4 is not None:
        attributes.append(("Framed-IP-Address", str(session.ipv4)))
    if session.ipv6 is not None:
        attributes.append(("Framed-IPv6-Address", str(session.ipv6)))
    attributes += [("Class", value[:MAX_TEXT]) for value in session.classes[:MAX_CLASSES]]
    return Question(Code.ACCOUNTING_REQUEST, (*attributes, *measured))


def _measured(counters: Counters, seconds: int) -> Attributes:
    """Input is what came from the user (RFC 2866 5.3)."""
    return (
        ("Acct-Session-Time", seconds),
        ("Acct-Input-Octets", counters.rx_bytes & 0xFFFFFFFF),
        ("Acct-Output-Octets", counters.tx_bytes & 0xFFFFFFFF),
        ("Acct-Input-Gigawords", counters.rx_bytes >> 32),
        ("Acct-Output-Gigawords", counters.tx_bytes >> 32),
        ("Acct-Input-Packets", counters.rx_packets & 0xFFFFFFFF),
        ("Acct-Output-Packets", counters.tx_packets & 0xFFFFFFFF),
    )


def _seconds(earlier: datetime, later: datetime) -> int:
    """Whole seconds, at least 0: the wall clock may have been set back."""
    return min(max(0, int((later - earlier).total_seconds())), MAX_DELAY)
