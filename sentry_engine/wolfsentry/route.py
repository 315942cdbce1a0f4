# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes: matching, precedence between matches, and order in the table.

Eight fields take part: family, remote address, protocol, local port, local address, remote port, and both interfaces. A
field that a route does not state is wild. The score of a match is the number of fields that match exactly. A prefix
matches inexactly; a bitmask too, unless the rest of the address is zero; a wild field whose value is zero matches
exactly. Between equal scores the longer match of the remote address wins, then of the local one
(``compare_match_exactness`` in wolfSentry's routes.c).
"""

from __future__ import annotations

from dataclasses import replace

from sentry_engine.addresses import AddressError
from sentry_engine.records import dataclass
from sentry_engine.wolfsentry.endpoint import (
    Pattern,
    count_bitmask,
    count_prefix,
    cut_prefix,
    match_bitmask,
    match_prefix,
)
from sentry_engine.wolfsentry.flags import FLAGS, IMMUTABLE, WILD, Flag, combine
from sentry_engine.wolfsentry.model import EndpointSection, EventConfig, RouteSection
from sentry_engine.wolfsentry.traffic import INET, INET6, WIDTHS, Target, unpack

FAMILIES = {"inet": INET, 2: INET, "inet6": INET6, 10: INET6}
TCPLIKE_PROTOCOLS = frozenset({6, 17})
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """An event that routes refer to. ``config`` ``None``: the general configuration applies."""

    label: str
    priority: int
    config: EventConfig | None
    aux: str | None
    post_actions: tuple[str, ...]
    match_actions: tuple[str, ...]
    update_actions: tuple[str, ...]
    decision_actions: tuple[str, ...]


@dataclass(slots=True)
class Route:
    """A route of the table. Mutable after insertion: the flag ``BOXED``, and the fields with a default."""

    index: int  # in the configuration; routes made at run time follow
    family: int  # 0: any
    protocol: int
    remote: Pattern
    local: Pattern
    flags: Flag
    event: RouteEvent | None
    inserted_at: float = 0.0
    boxed_at: float | None = None  # when a threshold boxed it; None: by configuration
    last_hit: float = 0.0
    purge_after: float = 0.0  # 0: never
    derogatory: int = 0
    commendable: int = 0
    connections: int = 0
    hits: int = 0

    @property
    def priority(self) -> int:
        return self.event.priority if self.event else 0

    def has(self, flag: Flag) -> bool:
        return bool(self.flags & flag)

    def key(self) -> Key:
        """The unique sort key in the table."""
        label = "" if self.event is None else self.event.label
        return (
            self.family,
            self.remote.key(),
            self.protocol,
            self.local.port,
            self.local.key(),
            self.remote.port,
            self.remote.interface,
            self.local.interface,
            int(self.flags & IMMUTABLE),
            self.priority,
            self.event is not None,
            label.encode(),
        )

    def match(self, target: Target, *, released: bool) -> Flag | None:
        """The fields that match inexactly; ``None``: no match."""
        inexact = Flag(0)
        traffic = target.traffic
        if not self.has(Flag.INBOUND if traffic.inbound else Flag.OUTBOUND):
            return None
        pairs = (
            (Flag.FAMILY_WILD, self.family, target.family),
            (Flag.PROTOCOL_WILD, self.protocol, traffic.protocol),
            (Flag.LOCAL_PORT_WILD, self.local.port, traffic.local.port),
            (Flag.REMOTE_PORT_WILD, self.remote.port, traffic.remote.port),
            (Flag.REMOTE_INTERFACE_WILD, self.remote.interface, traffic.remote.interface),
            (Flag.LOCAL_INTERFACE_WILD, self.local.interface, traffic.local.interface),
        )
        for wild, stated, actual in pairs:
            if stated != actual:
                if not self.flags & wild:
                    return None
                inexact |= wild
        sides = (
            (self.remote, target.remote, Flag.REMOTE_ADDRESS_WILD, Flag.REMOTE_BITMASK),
            (self.local, target.local, Flag.LOCAL_ADDRESS_WILD, Flag.LOCAL_BITMASK),
        )
        for pattern, address, wild, bitmask in sides:
            if self.flags & bitmask:
                exact = match_bitmask(pattern, address, wild=self.has(wild))
            else:
                exact = match_prefix(pattern, address, wild=self.has(wild), released=released)
            if exact is None:
                return None
            if not exact:
                inexact |= wild
        return inexact


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    inexact: Flag

    def precedes(self, other: Match, target: Target, *, released: bool) -> bool:
        """True if this match decides before ``other``."""
        if self.route.priority != other.route.priority:
            return self.route.priority < other.route.priority
        return self.beats(other, target, released=released)

    def beats(self, other: Match, target: Target, *, released: bool) -> bool:
        """True if this is the more exact of two matches of equal priority.

        As released, 1.6.3 takes the local address of ``other`` for its remote one here.
        """
        mine, theirs = (-(match.inexact & WILD).bit_count() for match in (self, other))
        if mine == theirs:
            mine = self._count_remote(target, released=released)
            theirs = (
                other._count_local(target, released=released, bitmask=Flag.REMOTE_BITMASK)
                if released
                else other._count_remote(target, released=released)
            )
        if mine == theirs:
            mine = self._count_local(target, released=released)
            theirs = other._count_local(target, released=released)
        return mine > theirs

    def _count_remote(self, target: Target, *, released: bool) -> int:
        if self.route.has(Flag.REMOTE_BITMASK):
            return count_bitmask(self.route.remote)
        return count_prefix(self.route.remote, target.remote, released=released)

    def _count_local(self, target: Target, *, released: bool, bitmask: Flag = Flag.LOCAL_BITMASK) -> int:
        if self.route.has(bitmask):
            return count_bitmask(self.route.remote if bitmask is Flag.REMOTE_BITMASK else self.route.local)
        return count_prefix(self.route.local, target.local, released=released)


def read_route(index: int, section: RouteSection, event: RouteEvent | None, *, released: bool) -> Route:
    """The route of a section. Raises ``AddressError`` for addresses that do not fit."""
    stated = section.model_dump(by_alias=True, include=set(RouteSection.model_fields))
    flags = combine([word for word in FLAGS if stated.get(word) is True])
    family = 0 if section.family is None else FAMILIES[section.family]
    patterns = []
    for end, wild, bitmask in (
        (section.remote, Flag.REMOTE_ADDRESS_WILD, Flag.REMOTE_BITMASK),
        (section.local, Flag.LOCAL_ADDRESS_WILD, Flag.LOCAL_BITMASK),
    ):
        found, pattern = read_endpoint(end, family, released=released)
        family = family or found
        patterns.append(pattern)
        flags |= (wild if end.address is None else Flag(0)) | (bitmask if end.bitmask is not None else Flag(0))
    for wild, is_stated in (
        (Flag.FAMILY_WILD, family),
        (Flag.PROTOCOL_WILD, section.protocol is not None),
        (Flag.REMOTE_PORT_WILD, section.remote.port is not None),
        (Flag.LOCAL_PORT_WILD, section.local.port is not None),
        (Flag.REMOTE_INTERFACE_WILD, section.remote.interface is not None),
        (Flag.LOCAL_INTERFACE_WILD, section.local.interface is not None),
    ):
        flags |= Flag(0) if is_stated else wild
    if family and section.protocol in TCPLIKE_PROTOCOLS:
        flags |= Flag.TCPLIKE
    return Route(index, family, section.protocol or 0, patterns[0], patterns[1], flags, event)


def read_endpoint(end: EndpointSection, family: int, *, released: bool) -> tuple[int, Pattern]:
    """The family of the address, else ``family``, and the pattern."""
    port, interface = end.port or 0, end.interface or 0
    if end.address is None:
        return family, Pattern(b"", 0, port, interface)
    found, address = unpack(end.address)
    if family and found != family:
        raise AddressError(f"{end.address!r} is not of the family of the route")
    if end.bitmask is not None:
        of_mask, mask = unpack(end.bitmask)
        if of_mask != found:
            raise AddressError(f"the bitmask {end.bitmask!r} is not of the family of the address")
        masked = bytes(a & b for a, b in zip(address, mask, strict=True))
        return found, Pattern(masked + mask, 2 * WIDTHS[found], port, interface)
    bits = WIDTHS[found] if end.prefix_bits is None else end.prefix_bits
    if bits > WIDTHS[found]:
        raise AddressError(f"prefix-bits of {end.address!r} is 0 to {WIDTHS[found]}")
    return found, Pattern(cut_prefix(address, bits, released=released), bits, port, interface)


def apply_event_flags(route: Route, config: EventConfig) -> bool:
    """Apply the flags of its event to a route on insertion. Returns whether the route is valid then."""
    route.flags &= ~combine(config.route_flags_to_clear_on_insert)
    route.flags |= combine(config.route_flags_to_add_on_insert)
    flags = route.flags
    for end, address, port, interface in (
        ("remote", Flag.REMOTE_ADDRESS_WILD, Flag.REMOTE_PORT_WILD, Flag.REMOTE_INTERFACE_WILD),
        ("local", Flag.LOCAL_ADDRESS_WILD, Flag.LOCAL_PORT_WILD, Flag.LOCAL_INTERFACE_WILD),
    ):
        pattern: Pattern = getattr(route, end)
        cleared = replace(
            pattern,
            address=bytes(len(pattern.address)) if flags & address else pattern.address,
            port=0 if flags & port else pattern.port,
            interface=0 if flags & interface else pattern.interface,
        )
        setattr(route, end, cleared)
    route.family = 0 if flags & Flag.FAMILY_WILD else route.family
    route.protocol = 0 if flags & Flag.PROTOCOL_WILD else route.protocol
    needed = Flag.REMOTE_ADDRESS_WILD | Flag.LOCAL_ADDRESS_WILD | Flag.PROTOCOL_WILD
    return not flags & Flag.FAMILY_WILD or flags & needed == needed
