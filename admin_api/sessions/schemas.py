# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of sessions."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import Ip, View
from vpn_frontend.ports import CloseReason, SessionState


class CountersView(View):
    """Inner packets and bytes: ``rx`` from the client, ``tx`` to it; ``dtls_*`` counts the part carried over DTLS."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    dtls_rx_packets: int
    dtls_rx_bytes: int
    dtls_tx_packets: int
    dtls_tx_bytes: int


class SessionLive(View):
    id: str = Field(description="Stays the same over reconnects.")
    user: str
    groups: list[str]
    address: Ip
    port: int
    ipv4: Ip | None
    ipv6: Ip | None
    logged_in_at: datetime = Field(description="When the user logged in.")
    started_at: datetime = Field(description="When the tunnel was opened.")
    state: SessionState
    transport: str
    tls_version: str
    cipher: str
    user_agent: str
    hostname: str
    dtls_cipher: str = Field(description="Empty while no DTLS channel is up.")
    counters: CountersView


class SessionAccount(CountersView):
    """The accounting record of one session. ``ended_at`` is null while the session lives."""

    id: str
    user: str
    groups: list[str]
    address: str
    ipv4: str | None
    ipv6: str | None
    transport: str
    tls_version: str
    cipher: str
    user_agent: str
    hostname: str
    started_at: datetime
    seen_at: datetime = Field(description="When the counters were last written.")
    ended_at: datetime | None
    end_reason: CloseReason | None
