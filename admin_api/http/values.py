# SPDX-License-Identifier: GPL-3.0-or-later
"""Value types that requests share: networks, addresses, texts and times. Errors say what to write instead."""

import json
import re
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)

from vpn_frontend.settings import Address, Network

MAX_TTL = 10 * 365 * 86_400  # seconds; something that lasts longer should have no end
# Texts reach logs, terminals and protocol headers. Marks of writing direction can make a text look like another one.
NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", re.ASCII)  # RFC 3339, 5.6
PREFIX = re.compile("0|[1-9][0-9]{0,2}")


def parse_network(value: object) -> Network:
    """Returns a network in CIDR, or a single address as a network. IPv4-mapped IPv6 becomes IPv4.

    Raises ``ValueError``.
    """
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str) or "%" in value:
        raise ValueError("write a network as text, such as 198.51.100.0/24 or 2001:db8::/32")
    try:
        network = ip_network(value.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{value[:64]!r} is neither an address nor a network") from None
    first, slash, prefix = value.strip().partition("/")
    if slash and PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"{value[:64]!r}: write the length of the prefix, {network}")
    if ip_address(first) != network.network_address:
        raise ValueError(f"{value[:64]!r} has host bits set; the network is {network}")
    if isinstance(network, IPv6Network) and (inner := network.network_address.ipv4_mapped) and network.prefixlen >= 96:
        return IPv4Network((inner, network.prefixlen - 96))
    return network


def parse_address(value: object) -> Address:
    """Returns an address; IPv4-mapped IPv6 becomes IPv4. Raises ``ValueError``."""
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
    """Base of request bodies. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class View(BaseModel):
    """Base of answer bodies, read from a row or a value object."""

    model_config = ConfigDict(from_attributes=True)


def _as_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is outside the years 1 to 9999 in UTC") from None


def refuse_numbers(value: object) -> object:
    """A number is no time: whether it counts seconds or milliseconds would be a guess."""
    if isinstance(value, datetime) or (isinstance(value, str) and DATE_TIME.match(value)):
        return value
    raise ValueError("write a time with its zone, such as 2030-01-01T12:00:00Z")


def _refuse_surrogates(value: dict[str, Any]) -> dict[str, Any]:
    """JSON can name halves of characters, which no file, database or answer can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the text contains half of a surrogate pair") from None
    return value


Document = Annotated[dict[str, Any], AfterValidator(_refuse_surrogates)]
Cidr = Annotated[Network, BeforeValidator(parse_network), PlainSerializer(str, return_type=str)]
Ip = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str, return_type=str)]
Moment = Annotated[AwareDatetime, BeforeValidator(refuse_numbers), AfterValidator(_as_utc)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=NO_CONTROLS)]
