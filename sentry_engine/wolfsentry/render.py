# SPDX-License-Identifier: GPL-3.0-or-later
"""Dump of a route table in the configuration format.

It contains the present routes with their present ``penalty-boxed``. The format has no counters and no end of a penalty:
a boxed route stays boxed when the dump is read, as with wolfSentry's own dump.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from sentry_engine.wolfsentry.endpoint import Pattern
from sentry_engine.wolfsentry.flags import FLAGS, WILD, Flag
from sentry_engine.wolfsentry.route import Route
from sentry_engine.wolfsentry.table import RouteTable
from sentry_engine.wolfsentry.traffic import INET, WIDTHS


def dump(table: RouteTable) -> dict[str, Any]:
    """A configuration whose table decides as this one."""
    config = table.config
    rest = config.model_dump(by_alias=True, exclude_defaults=True, exclude={"routes", "events"})
    events = [event.model_dump(by_alias=True, exclude_unset=True) for event in config.events]
    able = (route for route in table.routes if route.has(Flag.INBOUND | Flag.OUTBOUND))  # an event may clear both flags
    routes = [describe_route(route) for route in sorted(able, key=lambda route: route.index)]
    return {**rest, "events": events, "routes": routes}


def describe_route(route: Route) -> dict[str, Any]:
    """One route in its present state, without unset fields."""
    document: dict[str, Any] = {}
    if route.event is not None:
        document["parent-event"] = route.event.label
    document |= {word: True for word, flag in FLAGS.items() if route.has(flag) and not flag & WILD}
    if not route.has(Flag.FAMILY_WILD):
        document["family"] = "inet" if route.family == INET else "inet6"
    if not route.has(Flag.PROTOCOL_WILD):
        document["protocol"] = route.protocol
    ends = (
        ("remote", route.remote, Flag.REMOTE_ADDRESS_WILD, Flag.REMOTE_PORT_WILD, Flag.REMOTE_INTERFACE_WILD),
        ("local", route.local, Flag.LOCAL_ADDRESS_WILD, Flag.LOCAL_PORT_WILD, Flag.LOCAL_INTERFACE_WILD),
    )
    for name, pattern, address, port, interface in ends:
        end: dict[str, Any] = {}
        if not route.has(interface):
            end["interface"] = pattern.interface
        if not route.has(address):
            bitmask = route.has(Flag.REMOTE_BITMASK if name == "remote" else Flag.LOCAL_BITMASK)
            end |= describe_address(pattern, WIDTHS[route.family], bitmask=bitmask)
        if not route.has(port):
            end["port"] = pattern.port
        if end:
            document[name] = end
    return document


def describe_address(pattern: Pattern, width: int, *, bitmask: bool) -> dict[str, Any]:
    size = width // 8
    text = str(ip_address(pattern.address[:size].ljust(size, b"\0")))
    if bitmask:
        return {"address": text, "bitmask": str(ip_address(pattern.address[size:]))}
    return {"address": text, "prefix-bits": pattern.bits}
