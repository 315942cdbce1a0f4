# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of ``[vpn]`` that groups and users may override: the only description of their keys."""

from __future__ import annotations

from admin_api.session_settings.fields import (
    NEVER,
    SECONDS,
    YEAR,
    AnyAddress,
    AnyNetwork,
    Bytes,
    Count,
    DeviceName,
    DomainName,
    DynamicDomains,
    IPv4Pool,
    IPv6Pool,
    PortRules,
    SearchDomains,
    Seconds,
    Section,
    Switch,
    V4Address,
    WebAddress,
    field,
)
from vpn_frontend.protocol.constants import MAX_MTU, MIN_MTU
from vpn_frontend.settings import OnExcess, RekeyMethod, VpnSettings

MAX_BYTES = 1 << 60  # of a quota, and per second of a bandwidth
VPN = VpnSettings()  # its defaults are those of the file
NETWORK, LIMITS, SESSION = VPN.network, VPN.limits, VPN.session
BANDWIDTH, QUOTA = VPN.bandwidth, VPN.quota


class NetworkSection(Section):
    device: DeviceName = field(NETWORK.device, "Name of the TUN device. Created at the start, removed at the stop.")
    ipv4_pool: IPv4Pool = field(
        NETWORK.ipv4_pool,
        "Pool of inner IPv4 addresses. The first host address is the server's own. Empty: no IPv4 in the tunnel.",
    )
    ipv6_pool: IPv6Pool = field(NETWORK.ipv6_pool, "The same for IPv6. Empty: no IPv6 in the tunnel.")
    dns: tuple[AnyAddress, ...] = field(NETWORK.dns, "Name servers announced to clients.", max_length=8)
    routes: tuple[AnyNetwork, ...] = field(
        NETWORK.routes, "Networks routed through the tunnel. Empty: all traffic (the default route).", max_length=256
    )
    no_routes: tuple[AnyNetwork, ...] = field(NETWORK.no_routes, "Networks kept outside the tunnel.", max_length=256)
    mtu: Count = field(NETWORK.mtu, "Size of the largest inner packet.", unit="bytes", ge=MIN_MTU, le=MAX_MTU)
    default_domain: SearchDomains = field(
        NETWORK.default_domain, "Search domain announced to clients; several are separated by blanks."
    )
    split_dns: tuple[DomainName, ...] = field(
        NETWORK.split_dns, "Domains resolved through the tunnel only.", max_length=64
    )
    nbns: tuple[V4Address, ...] = field(NETWORK.nbns, "NetBIOS name servers announced to clients.", max_length=4)
    tunnel_all_dns: Switch = field(
        NETWORK.tunnel_all_dns, "Resolve every name through the tunnel. True with the default route in any case."
    )
    client_bypass_protocol: Switch = field(
        NETWORK.client_bypass_protocol,
        "Clients send traffic of an address family that they have no inner address of around the tunnel, instead of "
        "dropping it. Only AnyConnect reads it.",
    )
    dynamic_include: DynamicDomains = field(
        NETWORK.dynamic_include,
        "Domains whose addresses are routed through the tunnel beside `routes`. Only AnyConnect reads it.",
        max_length=64,
    )
    dynamic_exclude: DynamicDomains = field(
        NETWORK.dynamic_exclude,
        "Domains whose addresses are kept outside the tunnel. Only AnyConnect reads it.",
        max_length=64,
    )
    proxy_pac_url: WebAddress = field(
        NETWORK.proxy_pac_url,
        "URL of a proxy configuration file announced to clients. `%{U}` and `%{G}` are the names of user and group.",
    )
    restrict_to_routes: Switch = field(
        NETWORK.restrict_to_routes,
        "Drop packets between a client and addresses outside `routes` or inside `no_routes`, whatever the client does.",
    )
    restrict_to_ports: PortRules = field(
        NETWORK.restrict_to_ports,
        "What clients may open: `tcp/443`, `udp/8000-8100`, `icmp`, `tcp` (every port); also `udp`, `sctp`, `icmpv6`, "
        "`esp`. With `!` in front of every entry: all but these. Empty: everything.",
        max_length=32,
    )
    iroutes: tuple[AnyNetwork, ...] = field(
        NETWORK.iroutes,
        "Networks behind the client of a user or a group: the server routes them to it, and takes packets from them. "
        "Each is inside `vpn.iroutes_within`. A later session of the same user takes them over.",
        max_length=64,
    )
    append_routes: Switch = field(
        NETWORK.append_routes,
        "Add `routes` and `no_routes` of groups and users to those that they are over, instead of replacing them.",
    )
    expose_iroutes: Switch = field(
        NETWORK.expose_iroutes,
        "Other clients reach the networks in `iroutes`, and get them as routes when they connect.",
    )


class BandwidthSection(Section):
    from_client: Bytes = field(
        BANDWIDTH.from_client,
        "Rate of the data that a session may send.",
        unit="bytes per second; 0: no limit",
        ge=0,
        le=MAX_BYTES,
    )
    to_client: Bytes = field(
        BANDWIDTH.to_client,
        "Rate of the data that a session may receive.",
        unit="bytes per second; 0: no limit",
        ge=0,
        le=MAX_BYTES,
    )
    per_user: Switch = field(BANDWIDTH.per_user, "All sessions of a user share one limit.")


class QuotaSection(Section):
    day: Bytes = field(
        QUOTA.day,
        "Inner data of a user, both ways together, in a day of the server's time zone. Then its sessions are ended.",
        unit="bytes; 0: no limit",
        ge=0,
        le=MAX_BYTES,
    )
    month: Bytes = field(QUOTA.month, "The same in a calendar month.", unit="bytes; 0: no limit", ge=0, le=MAX_BYTES)


class LimitsSection(Section):
    max_clients: Count = field(
        LIMITS.max_clients, "Concurrent sessions of all users.", unit="sessions", ge=1, le=65_536
    )
    max_same_clients: Count = field(
        LIMITS.max_same_clients,
        "Concurrent sessions of one user. A user's own setting overrides it.",
        unit="sessions; 0: no limit",
        ge=0,
        le=65_536,
    )
    on_excess: OnExcess = field(
        LIMITS.on_excess, "What happens to a login over the limit: it is refused, or it replaces an older session."
    )


class SessionSection(Section):
    cookie_timeout: Seconds = field(
        SESSION.cookie_timeout,
        "How long a session without a channel waits for its client to reconnect.",
        unit=SECONDS,
        ge=1,
        le=YEAR,
    )
    disconnect_grace: Seconds = field(
        SESSION.disconnect_grace,
        "How long a client may come back with its cookie after it has disconnected by itself. AnyConnect disconnects "
        "before it moves to another network. A logout ends the cookie at once.",
        unit="seconds; 0: not at all",
        ge=0,
        le=YEAR,
    )
    idle_timeout: Seconds = field(
        SESSION.idle_timeout, "A session without data for this long is ended.", unit=NEVER, ge=0, le=YEAR
    )
    mobile_idle_timeout: Seconds = field(
        SESSION.mobile_idle_timeout,
        "The same for mobile clients.",
        unit="seconds; 0: as `idle_timeout`",
        ge=0,
        le=YEAR,
    )
    session_timeout: Seconds = field(
        SESSION.session_timeout,
        "A session is ended this long after its login, regardless of reconnects.",
        unit=NEVER,
        ge=0,
        le=YEAR,
    )
    dpd: Seconds = field(
        SESSION.dpd,
        "Silence after which dead peer detection probes the client. Its channel ends after twice this time.",
        unit=NEVER,
        ge=0,
        le=86_400,
    )
    mobile_dpd: Seconds = field(
        SESSION.mobile_dpd, "The same for mobile clients, which sleep.", unit=NEVER, ge=0, le=86_400
    )
    keepalive: Seconds = field(
        SESSION.keepalive, "Interval of the clients' keepalive messages.", unit=NEVER, ge=0, le=YEAR
    )
    rekey_time: Seconds = field(
        SESSION.rekey_time, "Age at which the keys of a channel are replaced.", unit=NEVER, ge=0, le=YEAR
    )
    rekey_method: RekeyMethod = field(
        SESSION.rekey_method,
        "How: within the connection (`ssl`, by TLS 1.3; a TLS 1.2 client makes a new connection in any case), or by a "
        "new connection of the client (`new-tunnel`).",
    )
    deny_roaming: Switch = field(
        SESSION.deny_roaming,
        "Refuse tunnels from another address than that of the login. The user has to log in again.",
    )
    dtls: Switch = field(SESSION.dtls, "Offer DTLS to the client, where `vpn.dtls` is on.")
