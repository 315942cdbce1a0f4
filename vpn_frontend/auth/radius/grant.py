# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Access-Accept grants: groups, and with ``group_config`` settings of the session. Pure.

Attributes as ocserv reads them. One whose value does not have the form of its type makes the whole answer invalid: a
session without its route or its time limit would have more rights than the server gave it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING

from vpn_frontend.radius.attributes import DOWNSTREAM_LIMIT, MS_DNS, UPSTREAM_LIMIT, Attribute
from vpn_frontend.settings import Overrides

if TYPE_CHECKING:
    from vpn_frontend.radius.attributes import Key
    from vpn_frontend.radius.packets import Answer
    from vpn_frontend.settings import Address, Network

FRAMED = 2  # Service-Type, RFC 2865 5.6
FROM_POOL = {IPv4Address("255.255.255.255"), IPv4Address("255.255.255.254")}  # RFC 2865 5.8
GROUP_PREFIX = "OU="
MAX_NAME = 64  # bytes of a group's name
MAX_GROUPS = 64
MAX_ROUTES = 256
MAX_DNS = 8
MAX_SECONDS = 365 * 86_400
MAX_RATE = 10**12  # bytes/s


class GrantError(Exception):
    """An answer is signed by the server and makes no sense. The text names the attribute."""


def read_groups(answer: Answer) -> tuple[str, ...]:
    """The groups in Class: ``OU=one;two`` (or ``,``), or one for each Class. What is no name is no group."""
    found: dict[str, None] = {}
    for value in answer.all(Attribute.CLASS):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            continue  # opaque, for accounting only
        names = text.removeprefix(GROUP_PREFIX).replace(",", ";").split(";")
        found.update(dict.fromkeys(name.strip() for name in names))
    groups = [name for name in found if name and name.isprintable() and len(name.encode()) <= MAX_NAME]
    return tuple(groups[:MAX_GROUPS])


def check_service(answer: Answer) -> bool:
    """False if the server grants the user another service than this one, such as an administrator's prompt."""
    return all(value == FRAMED for value in read_integers(answer, Attribute.SERVICE_TYPE))


def read_overrides(answer: Answer, *, bandwidth_unit: int) -> Overrides:
    """The settings that the answer pushes. Raises ``GrantError``.

    ``bandwidth_unit``: bytes/s of one unit of a limit.
    """
    overrides: Overrides = {}
    network: dict[str, object] = {}
    if routes := _read_routes(answer):
        network["routes"] = routes
    if dns := _read_dns(answer):
        network["dns"] = dns
    if network:
        overrides["network"] = network
    session = {
        key: seconds
        for key, attribute in (
            ("session_timeout", Attribute.SESSION_TIMEOUT),
            ("idle_timeout", Attribute.IDLE_TIMEOUT),
        )
        if (seconds := read_seconds(answer, attribute))
    }
    if session:
        overrides["session"] = session
    for address in _read_ipv4(answer, Attribute.FRAMED_IP_ADDRESS):
        if address not in FROM_POOL:
            overrides["static_ipv4"] = address
    for inner in _read_ipv6(answer, Attribute.FRAMED_IPV6_ADDRESS):
        overrides["static_ipv6"] = inner
    bandwidth = {
        key: min(rate * bandwidth_unit, MAX_RATE)
        for key, limit in (("from_client", UPSTREAM_LIMIT), ("to_client", DOWNSTREAM_LIMIT))
        for rate in read_integers(answer, limit)
        if rate
    }
    if bandwidth:
        overrides["bandwidth"] = bandwidth
    return overrides


def read_interim(answer: Answer) -> int:
    """Seconds between two accounting updates, 0 if the server leaves that to us. Raises ``GrantError``."""
    return read_seconds(answer, Attribute.ACCT_INTERIM_INTERVAL)


def read_seconds(answer: Answer, key: Key) -> int:
    """The last value, at most ``MAX_SECONDS``; 0 if there is none."""
    values = read_integers(answer, key)
    return min(values[-1], MAX_SECONDS) if values else 0


def read_integers(answer: Answer, key: Key) -> list[int]:
    return [int.from_bytes(value, "big") for value in _of_size(answer, key, 4)]


def read_texts(answer: Answer, key: Key) -> list[str]:
    return [value.decode(errors="replace") for value in answer.all(key)]


def _read_routes(answer: Answer) -> tuple[Network, ...]:
    routes: list[Network] = []
    for attribute in (Attribute.FRAMED_ROUTE, Attribute.FRAMED_IPV6_ROUTE):
        for text in read_texts(answer, attribute):
            name = text.strip(" \0").split(" ", 1)[0]  # gateway and metric follow
            try:
                routes.append(ip_network(name, strict=False))
            except ValueError:
                raise GrantError(f"{attribute.name}: {text[:60]!r} is no route") from None
    routes += [_read_prefix(value) for value in answer.all(Attribute.FRAMED_IPV6_PREFIX)]
    if len(routes) > MAX_ROUTES:
        raise GrantError(f"{len(routes)} routes (at most {MAX_ROUTES})")
    return tuple(dict.fromkeys(routes))


def _read_prefix(value: bytes) -> IPv6Network:
    """RFC 3162 2.3: a reserved byte, the length in bits, and as many bytes as that needs, or more."""
    if not 2 <= len(value) <= 18 or value[1] > 128 or (len(value) - 2) * 8 < value[1]:
        raise GrantError("FRAMED_IPV6_PREFIX: no prefix")
    return IPv6Network((value[2:].ljust(16, b"\0"), value[1]), strict=False)


def _read_dns(answer: Answer) -> tuple[Address, ...]:
    found: list[Address] = [address for key in MS_DNS for address in _read_ipv4(answer, key)]
    found += _read_ipv6(answer, Attribute.DNS_SERVER_IPV6_ADDRESS)
    return tuple(dict.fromkeys(found))[:MAX_DNS]


def _read_ipv4(answer: Answer, key: Key) -> list[IPv4Address]:
    return [IPv4Address(value) for value in _of_size(answer, key, 4)]


def _read_ipv6(answer: Answer, key: Key) -> list[IPv6Address]:
    return [IPv6Address(value) for value in _of_size(answer, key, 16)]


def _of_size(answer: Answer, key: Key, size: int) -> tuple[bytes, ...]:
    values = answer.all(key)
    if any(len(value) != size for value in values):
        name = key.name if isinstance(key, Attribute) else f"attribute {key}"
        raise GrantError(f"{name}: not of {size} bytes")
    return values
