# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes that requests share: networks, texts and moments, read strictly, refused with what to write instead."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_TTL = 10 * 365 * 86_400  # seconds; what should last longer is better said without an end
NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"  # texts reach logs, terminals and protocol headers


def parse_network(value: object) -> Network:
    """A network in CIDR, or an address as a network of one. IPv4 written as mapped IPv6 is IPv4."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str) or "%" in value:
        raise ValueError("write a network as text, such as 198.51.100.0/24 or 2001:db8::/32")
    try:
        network = ip_network(value.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{value[:64]!r} is not an address and not a network") from None
    if ip_address(value.strip().partition("/")[0]) != network.network_address:
        raise ValueError(f"{value[:64]!r} has bits behind its prefix; the network is {network}")
    if isinstance(network, IPv6Network) and (inner := network.network_address.ipv4_mapped) and network.prefixlen >= 96:
        return IPv4Network((inner, network.prefixlen - 96))
    return network


def parse_address(value: object) -> Address:
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    if not isinstance(value, str) or "%" in value:
        raise ValueError("write an address as text, such as 198.51.100.7 or 2001:db8::7")
    try:
        address = ip_address(value.strip())
    except ValueError:
        raise ValueError(f"{value[:64]!r} is not an address") from None
    return (address.version == 6 and address.ipv4_mapped) or address


class Body(BaseModel):
    """What a request carries: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class View(BaseModel):
    """What an answer carries, read from a row or a value."""

    model_config = ConfigDict(from_attributes=True)


def _as_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Cidr = Annotated[Network, BeforeValidator(parse_network), PlainSerializer(str, return_type=str)]
Ip = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str, return_type=str)]
Moment = Annotated[AwareDatetime, AfterValidator(_as_utc)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=NO_CONTROLS)]
