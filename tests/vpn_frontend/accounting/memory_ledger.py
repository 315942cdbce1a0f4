# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger in memory, and sessions for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

from vpn_frontend.accounting.ledger import AccountedSession
from vpn_frontend.gateway.interface import Counters

BEGAN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_session(session_id="0123456789abcdef", **changes):
    session = AccountedSession(
        id=session_id,
        name="alice@example.org",
        classes=(b"OU=staff", b"\x00\xff"),
        by_radius=True,
        interim=0,
        address=ip_address("192.0.2.1"),
        ipv4=ip_address("192.168.99.7"),
        ipv6=ip_address("fd00:99::7"),
        started_at=BEGAN,
        counters=Counters(rx_packets=3, rx_bytes=2**33 + 5, tx_packets=4, tx_bytes=7),
    )
    return replace(session, **changes)


class MemoryLedger:
    """Keeps sessions by id."""

    def __init__(self):
        self.sessions = {}
        self.changed = lambda: None

    def watch(self, changed):
        self.changed = changed

    def put(self, *sessions):
        for session in sessions:
            self.sessions[session.id] = session
        self.changed()

    def end(self, session_id, reason, ended_at):
        self.put(replace(self.sessions[session_id], ended_at=ended_at, end_reason=reason))

    async def due(self, limit):
        due = [one for one in self.sessions.values() if not one.start_told or one.ended_at is not None]
        return due[:limit]

    async def open_told(self):
        return [one for one in self.sessions.values() if one.start_told and one.ended_at is None]

    async def mark_told(self, *, started, ended):
        for session_id in started:
            self.sessions[session_id] = replace(self.sessions[session_id], start_told=True)
        for session_id in ended:
            del self.sessions[session_id]

    async def drop_older_than(self, oldest):
        old = [one.id for one in self.sessions.values() if one.ended_at is not None and one.ended_at < oldest]
        for session_id in old:
            del self.sessions[session_id]
        return len(old)
