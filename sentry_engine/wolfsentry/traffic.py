# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic, the input of a route table."""

from __future__ import annotations

from sentry_engine.addresses import AddressError, is_ipv4, pack_address
from sentry_engine.records import dataclass

INET, INET6 = 2, 10  # AF_INET and AF_INET6 of Linux, the numbers that configurations state
WIDTHS = {INET: 32, INET6: 128}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``address`` is text, empty if unknown. Unknown fields are zero and match only wild fields."""

    address: str = ""
    port: int = 0
    interface: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    remote: Endpoint
    local: Endpoint = Endpoint()
    protocol: int = 0
    inbound: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Traffic with addresses packed in the width of the family."""

    family: int
    remote: bytes
    local: bytes
    traffic: Traffic


def unpack(text: str) -> tuple[int, bytes]:
    """Family and octets of an address. Raises ``AddressError``."""
    packed = pack_address(text)
    return (INET, packed[12:]) if is_ipv4(packed) else (INET6, packed)


def make_target(traffic: Traffic) -> Target:
    """Raises ``AddressError`` for malformed addresses and for two families."""
    family, remote = unpack(traffic.remote.address)
    if not traffic.local.address:
        return Target(family, remote, bytes(len(remote)), traffic)
    other, local = unpack(traffic.local.address)
    if other != family:
        raise AddressError(f"{traffic.local.address!r} and {traffic.remote.address!r} are of two families")
    return Target(family, remote, local, traffic)
