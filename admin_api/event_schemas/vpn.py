# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the VPN's events."""

from __future__ import annotations

from pydantic import Field

from admin_api.event_schemas.registry import EventFields, event
from vpn_frontend.ports import VpnEvent


class SessionEvent(EventFields):
    session: str = Field(description="The session's id.", examples=["5f3a9c0e7d214b68"])
    user: str = Field(examples=["alice"])
    address: str | None = Field(description="The client's address. Null: it has no channel.", examples=["198.51.100.7"])


class ClientEvent(EventFields):
    user: str = Field(examples=["alice"])
    address: str = Field(examples=["198.51.100.7"])


@event(VpnEvent.LOGIN_ACCEPTED)
class LoginAccepted(ClientEvent):
    user_agent: str = Field(examples=["Open AnyConnect VPN Agent v9.01"])


@event(VpnEvent.LOGIN_REFUSED)
class LoginRefused(ClientEvent):
    user: str = Field(description="As the client spelt it.", examples=["alice"])
    reason: str = Field(examples=["credentials"])
    final: bool = Field(description="False: the client may try again in the same dialogue.", examples=[False])


@event(VpnEvent.TUNNEL_REFUSED)
class TunnelRefused(ClientEvent):
    reason: str = Field(examples=["too_many_clients"])


@event(VpnEvent.SESSION_OPENED)
class SessionOpened(SessionEvent):
    ipv4: str | None = Field(description="Inner address.", examples=["192.168.99.2"])
    ipv6: str | None = Field(description="Inner address.", examples=["fd00:99::2"])


@event(VpnEvent.SESSION_ROAMED)
class SessionRoamed(SessionEvent):
    pass


@event(VpnEvent.CHANNEL_LOST)
class ChannelLost(SessionEvent):
    cause: str = Field(examples=["reset"])


@event(VpnEvent.DTLS_UP)
class DtlsUp(SessionEvent):
    cipher: str = Field(examples=["TLS13-AES256-GCM-SHA384"])


@event(VpnEvent.DTLS_DOWN)
class DtlsDown(SessionEvent):
    cause: str = Field(examples=["dead_peer"])


@event(VpnEvent.SESSION_CLOSED)
class SessionClosed(SessionEvent):
    reason: str = Field(examples=["user_disconnect"])
    rx_bytes: int = Field(description="Inner bytes from the client.", examples=[1048576])
    tx_bytes: int = Field(description="Inner bytes to the client.", examples=[8388608])
    dtls_rx_bytes: int = Field(description="The part that DTLS carried.", examples=[1000000])
    dtls_tx_bytes: int = Field(description="The part that DTLS carried.", examples=[8000000])
    duration: float = Field(description="Seconds.", examples=[3600.5])


@event(VpnEvent.STRAP_FAILED)
class StrapFailed(SessionEvent):
    reason: str = Field(examples=["signature"])


@event(VpnEvent.LINK_REFUSED)
class LinkRefused(EventFields):
    address: str = Field(examples=["198.51.100.7"])
    reason: str = Field(examples=["too many connections of one address"])


@event(VpnEvent.OCSP_NOT_STAPLED, VpnEvent.CLIENTS_REFUSED)
class CertificateProblem(EventFields):
    problem: str = Field(examples=["crl.pem: expired"])


@event(VpnEvent.IROUTE_FAILED)
class IrouteFailed(EventFields):
    network: str = Field(description="Behind a client, or its fixed address.", examples=["10.30.0.0/24"])
    error: str = Field(examples=["Operation not permitted"])


@event(VpnEvent.TUN_LOST)
class TunLost(EventFields):
    device: str = Field(examples=["ocs0"])


@event(VpnEvent.TUN_FAILING)
class TunFailing(TunLost):
    worker: int = Field(examples=[0])
    error: str = Field(description="Empty once reads work again.", examples=["Input/output error"])


@event(VpnEvent.SESSIONS_RESTORED)
class SessionsRestored(EventFields):
    restored: int = Field(description="Wait for their clients.", examples=[200])
    ended: int = Field(description="Were refused, or their time was over.", examples=[1])
    seconds: float = Field(description="That it took.", examples=[0.05])


@event(VpnEvent.SESSIONS_SUSPENDED)
class SessionsSuspended(EventFields):
    count: int = Field(examples=[200])


@event(VpnEvent.SESSIONS_LOST)
class SessionsLost(EventFields):
    count: int = Field(examples=[200])
    problem: str = Field(examples=["/run/ocsentry/admin.sock.accounts: it is cut off"])


@event(VpnEvent.SIGNER_LOST)
class SignerLost(EventFields):
    """The kind says it all."""


@event(VpnEvent.RADIUS_SERVER_ALIVE)
class RadiusServerAlive(EventFields):
    server: str = Field(examples=["192.0.2.10:1812"])
    purpose: str = Field(examples=["authentication"])


@event(VpnEvent.RADIUS_SERVER_DEAD, VpnEvent.RADIUS_ANSWER_DROPPED)
class RadiusProblem(RadiusServerAlive):
    error: str = Field(examples=["no answer"])


@event(VpnEvent.ACCOUNTING_DROPPED)
class AccountingDropped(EventFields):
    count: int = Field(examples=[3])


@event(VpnEvent.USER_FILE_REFUSED)
class UserFileRefused(EventFields):
    file: str = Field(examples=["/etc/ocserv/ocpasswd"])
    problem: str = Field(examples=["line 3: no hash"])


@event(VpnEvent.BACKEND_FAILED)
class BackendFailed(EventFields):
    what: str = Field(examples=["journal"])
    error: str = Field(examples=["OperationalError('database is locked')"])
