# SPDX-License-Identifier: GPL-3.0-or-later
"""A wolfSentry configuration as rules of this engine, which asks for remote addresses of inbound connections only.

Routes for outbound traffic are left out. A route that selects by anything but a remote prefix cannot be said here, and
is a problem rather than a rule that holds for more or less than was meant. Where a wider route has the better priority,
the narrower ones inside it never decide and are left out, because here the narrower would.

wolfSentry counts derogatory events per route; here they are failed authentications per source, in a day.
"""

from __future__ import annotations

from sentry_engine.addresses import V4_OFFSET, contains
from sentry_engine.defaults import EVERYWHERE
from sentry_engine.policy_part import PolicyPart
from sentry_engine.problems import PolicyError, Problem
from sentry_engine.rules import LimitRule, Origin, Prefixes, PrefixRule
from sentry_engine.verdict import Action
from sentry_engine.wolfsentry.model import Configuration
from sentry_engine.wolfsentry.route import Route
from sentry_engine.wolfsentry.table import RouteTable
from sentry_engine.wolfsentry.traffic import INET, WIDTHS
from sentry_engine.wolfsentry.words import Flag

DAY = 86_400.0
LIMIT_ID = "wolfsentry:derogatory"


def translate(config: Configuration, *, file: str) -> PolicyPart:
    """Raises ``PolicyError`` for each route that cannot be said in rules."""
    table = RouteTable(config, file=file)
    routes = [route for route in sorted(table.routes, key=lambda r: r.index) if route.has(Flag.INBOUND)]
    problems = [Problem(file, f"/routes/{r.index}", reason) for r in routes if (reason := find_obstacle(r))]
    if problems:
        raise PolicyError(problems)
    policy = config.default_policies.default_policy
    default = None if policy is None else Action.ACCEPT if policy == "accept" else Action.REJECT
    packed = [(route, *row) for route in routes for row in pack_route(route)]
    rules = []
    for route, network, length in packed:
        if any(
            other.priority < route.priority and wide <= length and contains(outer, wide, network)
            for other, outer, wide in packed
        ):
            continue
        action = Action.REJECT if route.has(Flag.BOXED) else Action.ACCEPT if route.has(Flag.GREEN) else default
        if action is not None:
            origin = Origin(file, f"/routes/{route.index}")
            rule_id = f"route:{route.index}" if length >= V4_OFFSET or route.family else f"route:{route.index}:inet6"
            rules.append(
                PrefixRule(
                    rule_id,
                    action,
                    Prefixes(network, bytes((length,))),
                    origin,
                    route.event.label if route.event else "",
                )
            )
    return PolicyPart(prefix_rules=tuple(rules), limit_rules=_limits(config, file), default=default)


def find_obstacle(route: Route) -> str:
    """Why a route is no prefix rule; empty where it is one."""
    config = route.event.config if route.event else None
    stated = {
        "a protocol": not route.has(Flag.PROTOCOL_WILD),
        "a port": not route.has(Flag.REMOTE_PORT_WILD) or not route.has(Flag.LOCAL_PORT_WILD),
        "an interface": not route.has(Flag.REMOTE_INTERFACE_WILD) or not route.has(Flag.LOCAL_INTERFACE_WILD),
        "a local address": not route.has(Flag.LOCAL_ADDRESS_WILD),
        "conditions on results": config is not None
        and bool(config.action_res_filter_bits_set or config.action_res_filter_bits_unset),
    }
    selectors = [name for name, given in stated.items() if given]
    if selectors:
        return f"the route selects by {', '.join(selectors)}; here rules are about remote addresses"
    if route.has(Flag.REMOTE_BITMASK) and count_mask(route) is None:
        return "the bitmask is no prefix; here rules are about prefixes"
    return ""


def count_mask(route: Route) -> int | None:
    """The length of the prefix that a bitmask is; ``None`` where it is none."""
    mask = int.from_bytes(route.remote.address[route.remote.bits // 16 :])
    width = route.remote.bits // 2
    bits = mask.bit_count()
    return bits if mask == (1 << bits) - 1 << width - bits else None


def pack_route(route: Route) -> list[tuple[bytes, int]]:
    """The prefixes a route is about, packed: its own, or all of its family, or of both."""
    if route.has(Flag.REMOTE_ADDRESS_WILD):
        everything = list(EVERYWHERE)
        return everything if not route.family else [everything[0 if route.family == INET else 1]]
    bitmask = route.has(Flag.REMOTE_BITMASK)
    bits = count_mask(route) if bitmask else route.remote.bits
    assert bits is not None  # noqa: S101  # find_obstacle saw to it
    size = WIDTHS[route.family] // 8
    address = route.remote.address[:size].ljust(size, b"\0")
    if route.family == INET:
        return [(bytes(10) + b"\xff\xff" + address, V4_OFFSET + bits)]
    return [(address, bits)]


def _limits(config: Configuration, file: str) -> tuple[LimitRule, ...]:
    general = config.config_update
    threshold, duration = general.derog_thresh_for_penalty_boxing, float(general.penalty_box_duration)
    if not threshold or not duration:
        return ()
    limit = LimitRule(
        id=LIMIT_ID,
        event="auth_failure",
        prefixes=EVERYWHERE,
        origin=Origin(file, "/config-update/derog-thresh-for-penalty-boxing"),
        max_events=max(threshold - 1, 1),
        window=DAY,
        penalty=duration,
        penalty_max=max(duration, DAY),
    )
    return (limit,)
