# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of sessions."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from admin_api.http.values import Ip, View
from vpn_frontend.ports import CloseReason, SessionState

ShownNetwork = Annotated[str, BeforeValidator(str), Field(examples=["10.0.0.0/8"])]
ShownPorts = Annotated[str, BeforeValidator(str), Field(examples=["tcp/443"])]

OF_HOST = "The virtual host that it logged in at; empty: the server itself."


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


class SessionNetwork(View):
    """What a session's client was told when its tunnel opened."""

    device: str
    dns: list[Ip]
    nbns: list[Ip]
    split_dns: list[str]
    routes: list[ShownNetwork]
    no_routes: list[ShownNetwork]
    iroutes: list[ShownNetwork]
    restrict_to_routes: bool
    restrict_to_ports: list[ShownPorts]


class SessionBandwidth(View):
    """Bytes per second; 0: no limit."""

    from_client: int
    to_client: int


class SessionDevice(View):
    """What the client says of its machine, without proof."""

    platform: str = Field(examples=["linux-64"])
    platform_version: str = Field(examples=["10.0.19045"])
    kind: str = Field(description="The model, of clients that tell it.", examples=["LENOVO 20XW"])


class SessionLive(View):
    id: str = Field(description="Stays the same over reconnects.")
    node: str = Field(
        "",
        description="The node of the fleet that carries it; empty: there is no fleet. Of another node than the one "
        "that is asked, counters are those last written, and what only its node knows of its tunnel is 0 or empty.",
        examples=["n1"],
    )
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
    number: int = Field(description="Positive; of no other session since the server's start.")
    connected_at: datetime | None = Field(description="When its newest channel came up.")
    mtu: int
    dpd: int = Field(description="Seconds.")
    keepalive: int = Field(description="Seconds.")
    cookie_timeout: int = Field(description="Seconds for which its cookie is good after its channel is lost.")
    host: str = Field(description=OF_HOST)
    disconnect_grace: int = Field(description="Seconds for which its client may come back after a disconnect.")
    by_certificate: bool = Field(description="Its login showed a client certificate.")
    server_ipv4: Ip | None = Field(description="The server's own inner address.")
    server_ipv6: Ip | None
    network: SessionNetwork
    bandwidth: SessionBandwidth
    device: SessionDevice


class LoginWaiting(View):
    """A login whose client has not asked for its tunnel yet."""

    id: str = Field(description="Of the session that it becomes.")
    user: str
    groups: list[str]
    address: Ip | None
    user_agent: str
    logged_in_at: datetime
    cookie_timeout: int = Field(description="Seconds for which it waits.")
    by_certificate: bool
    host: str = Field(description=OF_HOST)


class StatisticsView(View):
    """``sessions`` and ``refused_logins`` count since the start, everything else since ``since``."""

    sessions: int
    refused_logins: int
    since: datetime = Field(description="When the period began: a week ago at most.")
    ended: int = Field(description="Sessions that ended in the period; the other figures of sessions are theirs.")
    timed_out: int
    idle: int
    failed: int
    refused_logins_in_period: int
    average_login: float = Field(description="Seconds from the connection to the answer.")
    longest_login: float
    average_session: float = Field(description="Seconds.")
    longest_session: float
    min_mtu: int
    max_mtu: int
    rx_bytes: int
    tx_bytes: int


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
