# SPDX-License-Identifier: GPL-3.0-or-later
"""The response to a tunnel's CONNECT: the MTU and every X-CSTP header.

openconnect compares header names with their case and aborts without ``X-CSTP-MTU``. AnyConnect needs the timeouts and
a rekey method even where they are off. So the whole set is always sent.
"""

from __future__ import annotations

import secrets
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, NamedTuple

from sentry_engine.addresses import show_address
from sentry_engine.records import dataclass
from vpn_frontend.protocol.client_family import ClientFamily
from vpn_frontend.protocol.constants import MIN_MTU, MIN_MTU_IPV6, NO_REKEY
from vpn_frontend.protocol.http import render_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from vpn_frontend.gateway.interface import DtlsOffer
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.settings import Network, NetworkSettings, SessionSettings

Headers = tuple[tuple[str, str], ...]

IPV4_HEADER = 20  # bytes
IPV6_HEADER = 40
UDP_HEADER = 8
DTLS_RECORD = 13 + 8 + 16  # bytes: record header, explicit nonce and tag of AES-GCM (RFC 6347 section 4.1, RFC 5288)
TYPE_BYTE = 1  # CSTP over DTLS puts one byte in front of a packet


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class TunnelGrant:
    """What one tunnel gets. ``remaining``: seconds until the session timeout; ``None``: no limit."""

    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    mtu: int
    remaining: int | None
    dpd: int
    dtls: DtlsOffer | None = None
    hostname: str = ""  # of the client: the one that its user was given, or its own
    exposed: tuple[Network, ...] = ()  # networks behind other clients


def datagram_overhead(*, outer_ipv6: bool) -> int:
    """Bytes between an inner packet and the IP packet that carries it over DTLS."""
    return (IPV6_HEADER if outer_ipv6 else IPV4_HEADER) + UDP_HEADER + DTLS_RECORD + TYPE_BYTE


def negotiate_mtu(configured: int, request: TunnelRequest, *, outer_ipv6: bool) -> int:
    """The inner MTU in bytes: the smallest of the configured, the path's and the client's. At least ``MIN_MTU``.

    The base MTU is that of the client's path, and ``X-CSTP-MTU`` follows from it. Old clients send only the latter.
    """
    if request.base_mtu is not None:
        limit = request.base_mtu - datagram_overhead(outer_ipv6=outer_ipv6)
    else:
        limit = request.mtu if request.mtu is not None else configured
    return max(MIN_MTU, min(configured, limit))


def carries_ipv6(mtu: int) -> bool:
    """True if the inner MTU is large enough for IPv6."""
    return mtu >= MIN_MTU_IPV6


def render_connect_headers(
    grant: TunnelGrant,
    request: TunnelRequest,
    network: NetworkSettings,
    session: SessionSettings,
    *,
    outer_ipv6: bool,
    tls13: bool,
) -> Headers:
    """Every X-CSTP header, in the case that clients compare."""
    own = _personal(grant, network)
    return _render(grant, request, network, session, own, outer_ipv6=outer_ipv6, tls13=tls13)


class _Kept(NamedTuple):
    """Headers as lines, and what they were made of: while it is kept, nothing else has its identity."""

    network: NetworkSettings
    session: SessionSettings
    pieces: list[str]  # what stands before, between and behind the texts of one client


MAX_KEPT = 256  # combinations of settings and kinds of clients, of which a server has a few
_kept: dict[tuple[object, ...], _Kept] = {}
_MARK = secrets.token_hex(16)  # stands for the texts of one client; no setting can hold it


def render_connect_lines(
    grant: TunnelGrant,
    request: TunnelRequest,
    network: NetworkSettings,
    session: SessionSettings,
    *,
    outer_ipv6: bool,
    tls13: bool,
) -> str:
    """``render_connect_headers`` as lines. Clients of one kind share all but their addresses, names and times.

    Raises ``ValueError`` for a text with a line end or NUL, as ``render_lines`` does.
    """
    if not grant.hostname.isprintable():  # of the texts of one client the only one that is not rendered here
        raise ValueError("a host name that holds the end of a line")
    key = (
        id(network), id(session), request.family, request.full_ipv6, request.apple, request.mobile, outer_ipv6, tls13,
        grant.mtu, grant.dpd, grant.ipv4 is None, grant.ipv6 is None, not grant.hostname, grant.exposed,
    )  # fmt: skip
    kept = _kept.get(key)
    if kept is None:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        marks = [_MARK if text else "" for text in _personal(grant, network)]
        headers = _render(grant, request, network, session, marks, outer_ipv6=outer_ipv6, tls13=tls13)
        kept = _kept[key] = _Kept(network, session, render_lines(headers).split(_MARK))
    own = [text for text in _personal(grant, network) if text]
    return "".join([text for pair in zip(kept.pieces, [*own, ""], strict=True) for text in pair])


def _personal(grant: TunnelGrant, network: NetworkSettings) -> tuple[str, str, str, str]:
    """The texts of one client, in their sequence: host name, inner addresses, time. Empty: it has none."""
    return (
        grant.hostname,
        "" if grant.ipv4 is None or network.ipv4_pool is None else show_address(grant.ipv4),
        "" if grant.ipv6 is None or network.ipv6_pool is None else show_address(grant.ipv6),
        _seconds(grant.remaining or 0),
    )


def _render(
    grant: TunnelGrant,
    request: TunnelRequest,
    network: NetworkSettings,
    session: SessionSettings,
    own: Sequence[str],
    *,
    outer_ipv6: bool,
    tls13: bool,
) -> Headers:
    """``own`` are the texts of ``_personal``."""
    hostname, ipv4, ipv6, remaining = own
    return (
        ("X-CSTP-Version", "1"),
        ("X-CSTP-Server-Name", "ocsentry"),
        *((("X-CSTP-Hostname", hostname),) if hostname else ()),
        ("X-CSTP-Protocol", "Copyright (c) 2004 Cisco Systems, Inc."),
        *_addresses(ipv4, ipv6, request, network),
        *_names(request, network),
        *_routes(grant, request, network),
        *_settings(network, session, dpd=grant.dpd, mobile=request.mobile, tls13=tls13),
        ("X-CSTP-Session-Timeout-Remaining", remaining),
        ("X-CSTP-Base-MTU", str(grant.mtu + datagram_overhead(outer_ipv6=outer_ipv6))),
        ("X-CSTP-MTU", str(grant.mtu)),
    )


def _settings(network: NetworkSettings, session: SessionSettings, *, dpd: int, mobile: bool, tls13: bool) -> Headers:
    """What the settings alone say."""
    return (
        *_dynamic_routes(network),
        *((("X-CSTP-MSIE-Proxy-Pac-URL", network.proxy_pac_url),) if network.proxy_pac_url else ()),
        ("X-CSTP-Keep", "true"),
        ("X-CSTP-Tunnel-All-DNS", _flag(network.tunnel_all_dns or (not network.routes and not network.split_dns))),
        ("X-CSTP-Client-Bypass-Protocol", _flag(network.client_bypass_protocol)),
        ("X-CSTP-DPD", str(dpd)),
        ("X-CSTP-Keepalive", str(session.keepalive)),
        ("X-CSTP-Idle-Timeout", _seconds(session.idle_timeout_of(mobile=mobile))),
        ("X-CSTP-Disconnected-Timeout", _seconds(session.cookie_timeout)),
        ("X-CSTP-Session-Timeout", _seconds(session.session_timeout)),
        ("X-CSTP-Session-Timeout-Alert-Interval", "60"),
        *_rekey(session, tls13=tls13),
        ("X-CSTP-TCP-Keepalive", "true"),
        ("X-CSTP-Smartcard-Removal-Disconnect", "true"),
        ("X-CSTP-License", "accept"),
    )


def _addresses(ipv4: str, ipv6: str, request: TunnelRequest, network: NetworkSettings) -> Headers:
    headers: list[tuple[str, str]] = []
    if ipv4 and network.ipv4_pool is not None:
        headers += [("X-CSTP-Address", ipv4), ("X-CSTP-Netmask", show_address(network.ipv4_pool.netmask))]
    if ipv6 and network.ipv6_pool is not None:
        length = network.ipv6_pool.prefixlen
        if request.full_ipv6:
            headers.append(("X-CSTP-Address-IP6", f"{ipv6}/{length}"))
        else:
            headers += [
                ("X-CSTP-Address", ipv6),
                ("X-CSTP-Netmask", f"{show_address(network.ipv6_pool.network_address)}/{length}"),
            ]
    return tuple(headers)


def _names(request: TunnelRequest, network: NetworkSettings) -> Headers:
    """DNS servers and domains. AnyConnect reads IPv6 servers from another header, openconnect reads one for both."""
    cisco = request.family in (ClientFamily.ANYCONNECT, ClientFamily.APPLE)
    servers = tuple(
        ("X-CSTP-DNS-IP6" if cisco and server.version == 6 else "X-CSTP-DNS", str(server))
        for server in network.dns
        if server.version == 4 or request.routes_ipv6
    )
    default = (("X-CSTP-Default-Domain", network.default_domain),) if network.default_domain else ()
    netbios = tuple(("X-CSTP-NBNS", str(server)) for server in network.nbns)
    return (*servers, *netbios, *default, *(("X-CSTP-Split-DNS", domain) for domain in network.split_dns))


def _routes(grant: TunnelGrant, request: TunnelRequest, network: NetworkSettings) -> Headers:
    """Split includes and excludes of the address families that the tunnel carries. No include: the default route."""
    carried = {4: grant.ipv4 is not None, 6: grant.ipv6 is not None and request.routes_ipv6}
    routes = (*network.routes, *grant.exposed) if network.routes else ()
    includes = [_route("X-CSTP-Split-Include", route) for route in routes if carried[route.version]]
    if request.apple and carried[6]:
        # iOS takes no IPv6 route at all, the default route included, unless the global range is among the includes.
        includes.append(("X-CSTP-Split-Include-IP6", "2000::/3"))
    excludes = [_route("X-CSTP-Split-Exclude", route) for route in network.no_routes if carried[route.version]]
    return (*includes, *excludes)


def _dynamic_routes(network: NetworkSettings) -> Headers:
    """Domains whose addresses AnyConnect routes by the names it resolves. Other clients ignore the header."""
    lists = (
        ("dynamic-split-include-domains", network.dynamic_include),
        ("dynamic-split-exclude-domains", network.dynamic_exclude),
    )
    given = "".join(f"<{name}><![CDATA[{','.join(domains)},]]></{name}>" for name, domains in lists if domains)
    if not given:
        return ()
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><config-auth client="vpn" type="complete" aggregate-auth-version="2">'
        '<config client="vpn" type="private"><opaque is-for="vpn-client"><custom-attr>'
        f"{given}</custom-attr></opaque></config></config-auth>"
    )
    return (("X-CSTP-Post-Auth-XML", document),)


def _route(name: str, route: Network) -> tuple[str, str]:
    if isinstance(route, IPv4Network):
        return name, route.with_netmask
    return f"{name}-IP6", str(route)


def _rekey(session: SessionSettings, *, tls13: bool) -> Headers:
    """The rekey method. With ``ssl`` TLS 1.3 rekeys by KeyUpdate without the client. TLS 1.2 needs a new tunnel.

    Clients differ in how they read a missing method. So there is always one, at need with the time ``NO_REKEY``.
    """
    within = tls13 and session.rekey_method == "ssl"
    time = NO_REKEY if within or session.rekey_time == 0 else session.rekey_time
    return (("X-CSTP-Rekey-Time", str(time)), ("X-CSTP-Rekey-Method", "ssl" if within else "new-tunnel"))


def _seconds(value: int) -> str:
    return str(value) if value > 0 else "none"


def _flag(value: bool) -> str:
    return "true" if value else "false"
