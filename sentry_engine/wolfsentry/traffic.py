# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic, and the routes it is compared with: which match, and which of two matches is the more exact.

Eight fields take part: family, remote address, protocol, local port, local address, remote port, and both interfaces. A
field a route does not state is a wildcard. The score of a match is the number of fields that match exactly; a prefix or
bitmask matches an address inexactly. Between equal scores the longer match of the remote address decides, then of the
local one (``compare_match_exactness`` in wolfSentry's routes.c).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sentry_engine.addresses import AddressError, is_ipv4, pack_address
from sentry_engine.wolfsentry.model import EndpointSection, EventConfig, RouteSection

FIELDS = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``address`` is text, empty where it is unknown."""

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
class Pattern:
    """An address and the bits of it that must match, as numbers of the family's own width."""

    address: int
    mask: int
    width: int
    exact: bool

    def matches(self, address: int) -> bool:
        return address & self.mask == self.address & self.mask

    def size(self) -> int:
        return self.mask.bit_count()


@dataclass(frozen=True, slots=True)
class Side:
    pattern: Pattern | None
    port: int | None
    interface: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """Compares as wolfSentry prefers: greater is the more exact."""

    exact_fields: int
    remote_bits: int
    local_bits: int

    def key(self) -> tuple[int, int, int]:
        return self.exact_fields, self.remote_bits, self.local_bits


@dataclass(slots=True)
class Route:
    """A route of the table. The counts are the only thing that changes, and the flag that penalties set."""

    index: int
    width: int | None  # 32, 128, or None for any family
    protocol: int | None
    remote: Side
    local: Side
    inbound: bool
    outbound: bool
    green_listed: bool
    port_reset: bool
    count_connections: bool
    event: str | None
    priority: int
    config: EventConfig | None
    section: RouteSection
    penalty_boxed: bool = False
    boxed_at: float | None = None  # when a threshold did it; None: the configuration did
    derogatory: int = 0
    commendable: int = 0
    connections: int = 0
    hits: int = field(default=0)

    def match(self, traffic: Traffic) -> Match | None:
        if not (self.inbound if traffic.inbound else self.outbound):
            return None
        exact = 0
        remote, local = unpack(traffic.remote.address), unpack(traffic.local.address)
        pairs: tuple[tuple[int | None, int], ...] = (
            (self.width, remote[1]),
            (self.protocol, traffic.protocol),
            (self.local.port, traffic.local.port),
            (self.remote.port, traffic.remote.port),
            (self.remote.interface, traffic.remote.interface),
            (self.local.interface, traffic.local.interface),
        )
        for wanted, actual in pairs:
            if wanted is not None and wanted != actual:
                return None
            exact += wanted is not None
        bits = []
        for pattern, (address, width) in ((self.remote.pattern, remote), (self.local.pattern, local)):
            if pattern is None:
                bits.append(0)
                continue
            if pattern.width != width or not pattern.matches(address):
                return None
            exact += pattern.exact
            bits.append(pattern.size())
        return Match(exact, bits[0], bits[1])

    def order(self) -> tuple[int, ...]:
        """The table's own order, by which ties are broken: the later route wins."""
        sides = (self.remote, self.local)
        (remote, local) = (side.pattern for side in sides)
        return (
            self.width or 0,
            remote.address if remote else 0,
            remote.size() if remote else 0,
            self.protocol or 0,
            self.local.port or 0,
            local.address if local else 0,
            local.size() if local else 0,
            self.remote.port or 0,
            self.remote.interface or 0,
            self.local.interface or 0,
            self.priority,
            self.index,
        )


def unpack(text: str) -> tuple[int, int]:
    """The number and width of an address; (0, 0) for an unknown one. Raises ``AddressError``."""
    if not text:
        return 0, 0
    packed = pack_address(text)
    return (int.from_bytes(packed[12:]), 32) if is_ipv4(packed) else (int.from_bytes(packed), 128)


def make_side(section: EndpointSection, width: int | None) -> Side:
    """Raises ``AddressError`` for what is no address of that family, or a bitmask of the other."""
    if section.address is None:
        return Side(None, section.port, section.interface)
    address, actual = unpack(section.address)
    if width is not None and actual != width:
        raise AddressError(f"{section.address!r} is not of the family of the route")
    whole = (1 << actual) - 1
    if section.bitmask is not None:
        mask, mask_width = unpack(section.bitmask)
        if mask_width != actual:
            raise AddressError(f"the bitmask {section.bitmask!r} is not of the family of the address")
        return Side(Pattern(address, mask, actual, exact=False), section.port, section.interface)
    bits = actual if section.prefix_bits is None else section.prefix_bits
    if bits > actual:
        raise AddressError(f"prefix-bits of {section.address!r} is 0 to {actual}")
    mask = whole >> (actual - bits) << (actual - bits)
    return Side(Pattern(address, mask, actual, exact=bits == actual), section.port, section.interface)
