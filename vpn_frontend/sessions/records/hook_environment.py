# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of the operator's programs for a session: the variables that ocserv's scripts get.

What a peer chose (names of hosts and programs) is printable ASCII and bounded here.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal

from vpn_frontend.settings import PROTOCOLS_WITH_PORTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.sessions.session import Peer, Session
    from vpn_frontend.settings import Address, Network, PortRule

MAX_VALUE = 8192  # characters that a program gets, see `fit`
MAX_TEXT = 256  # of what a peer chose
DEFAULT_HOST = "default"  # the name of the server that is no virtual host
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of every hook
IROUTES = "OCSERV_IROUTES"  # ocserv has none
_LISTS = ("OCSERV_ROUTES", "OCSERV_NO_ROUTES", "OCSERV_DNS")
HOOK_VARIABLES = frozenset(
    {
        "REASON", "VHOST", "USERNAME", "GROUPNAME", "HOSTNAME", "REMOTE_HOSTNAME", "DEVICE", "USER_AGENT", "ID",
        "DEVICE_TYPE", "DEVICE_PLATFORM", "IP_REAL", "IP_REAL_LOCAL", "IP_LOCAL", "IP_REMOTE", "IPV6_LOCAL",
        "IPV6_REMOTE", "IPV6_PREFIX", "STATS_BYTES_IN", "STATS_BYTES_OUT", "STATS_DURATION",
        "OCSERV_RESTRICT_TO_ROUTES", "OCSERV_ALLOW_PORTS",
        "OCSERV_DENY_PORTS", IROUTES, *(f"{name}{family}" for name in _LISTS for family in ("", "4", "6")),
    }
)  # fmt: skip


Reason = Literal["connect", "disconnect", "host-update"]


def hook_environment(
    reason: Reason,
    session: Session,
    peer: Peer | None,
    used: tuple[int, int] = (0, 0),
    duration: float = 0.0,
    hostname: str = "",
) -> dict[str, str]:
    """The variables that have a value. ``peer`` is that of the newest channel.

    ``used``: bytes from and to the client, ``duration``: seconds, both told when the tunnel ends. ``hostname`` is what
    the client says while its tunnel is not open yet.
    """
    name = _printable(hostname or session.hostname or session.device.name)
    network, addresses = session.settings.network, session.addresses
    found = {
        "REASON": reason,
        "VHOST": session.host or DEFAULT_HOST,
        "USERNAME": session.user.name,
        "GROUPNAME": session.groups[0] if session.groups else "",
        "HOSTNAME": name,
        "REMOTE_HOSTNAME": name,
        "DEVICE": network.device,
        "USER_AGENT": _printable(session.user_agent),
        "DEVICE_TYPE": _printable(session.device.kind),
        "DEVICE_PLATFORM": _printable(session.device.platform),
        "ID": str(session.number),
    }
    if peer is not None:
        found |= {"IP_REAL": str(peer.address), "IP_REAL_LOCAL": _text(peer.local_address)}
    if addresses is not None and addresses.ipv4 is not None:
        found |= {"IP_REMOTE": str(addresses.ipv4), "IP_LOCAL": _own_address(network.ipv4_pool)}
    if addresses is not None and addresses.ipv6 is not None and network.ipv6_pool is not None:
        found |= {"IPV6_REMOTE": str(addresses.ipv6), "IPV6_LOCAL": _own_address(network.ipv6_pool)}
        found["IPV6_PREFIX"] = str(network.ipv6_pool.prefixlen)
    lists = (
        ("OCSERV_ROUTES", [(route.version, _route(route)) for route in network.routes]),
        ("OCSERV_NO_ROUTES", [(route.version, _route(route)) for route in network.no_routes]),
        ("OCSERV_DNS", [(server.version, str(server)) for server in network.dns]),
    )
    for name, entries in lists:
        for suffix, families in (("", (4, 6)), ("4", (4,)), ("6", (6,))):
            found[f"{name}{suffix}"] = _list(text for family, text in entries if family in families)
    found[IROUTES] = _list(map(_route, network.iroutes))
    if network.restrict_to_routes:
        found["OCSERV_RESTRICT_TO_ROUTES"] = "1"
    for name, denied in (("OCSERV_ALLOW_PORTS", False), ("OCSERV_DENY_PORTS", True)):
        found[name] = _list(_ports(rule) for rule in network.restrict_to_ports if rule.denied is denied)
    if reason == "disconnect":
        found |= {
            "STATS_BYTES_IN": str(max(0, used[0])),
            "STATS_BYTES_OUT": str(max(0, used[1])),
            "STATS_DURATION": str(max(0, int(duration))),
        }
    return {name: value for name, value in found.items() if value}


def fit(value: str) -> str:
    """What a program gets of a value: of a list that is too long its first entries, each of them whole."""
    if len(value) <= MAX_VALUE:
        return value
    return value[: value.rfind(" ", 0, MAX_VALUE) + 1] or value[:MAX_VALUE]


def _list(texts: Iterable[str]) -> str:
    """As ocserv writes lists: a blank behind each text, the last one too. Scripts compare the whole."""
    return "".join(f"{text} " for text in texts)


def _own_address(pool: Network | None) -> str:
    """The server's own address in a pool: the first host address."""
    return "" if pool is None else str(pool[1])


def _route(network: Network) -> str:
    return network.with_netmask if isinstance(network, IPv4Network) else str(network)


def _ports(rule: PortRule) -> str:
    if rule.protocol not in PROTOCOLS_WITH_PORTS or (rule.first, rule.last) == (0, 65535):
        return f"{rule.protocol} all"
    return f"{rule.protocol} {rule.first}" if rule.first == rule.last else f"{rule.protocol} {rule.first}:{rule.last}"


def _text(address: Address | None) -> str:
    return "" if address is None else str(address)


def _printable(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text[:MAX_TEXT])
