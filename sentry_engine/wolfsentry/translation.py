# SPDX-License-Identifier: GPL-3.0-or-later
"""Translation of a wolfSentry configuration to rules of this engine.

If every route matches remote prefixes of inbound traffic, the routes become rules, which any core and the gate apply. A
narrower route inside a wider one of better priority never decides in wolfSentry. It is left out: as a rule it would
decide. wolfSentry counts derogatory events per route; as rules they are failed logins per source and day. Any other
configuration stays whole, and a ``RouteTable`` applies it.

Routes for outbound traffic are left out. A route by local address or interface is a problem: the engine knows neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sentry_engine.addresses import V4_OFFSET, contains
from sentry_engine.errors import PolicyError, Problem
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.defaults import EVERYWHERE
from sentry_engine.rules.model import LimitRule, PrefixRule, RouteRules
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.verdict import Action
from sentry_engine.wolfsentry.flags import TRACK_PEER, Flag
from sentry_engine.wolfsentry.model import ACTING, Configuration, EventConfig, dashed
from sentry_engine.wolfsentry.route import Route
from sentry_engine.wolfsentry.table import RouteTable
from sentry_engine.wolfsentry.traffic import INET, WIDTHS

DAY = 86_400.0
PYTHON_ONLY = (
    "is asked in Python only, and the server's gate answers before Python: leave it out, or filter by it in the kernel"
)
COUNTING = (
    "max_connection_count", "route_idle_time_for_purge", "action_res_filter_bits_set", "action_res_filter_bits_unset",
)  # fmt: skip
LIMIT_ID = "wolfsentry:derogatory"


def translate(config: Configuration, *, file: str) -> PolicyPart:
    """Raises ``PolicyError`` with every route by fields that the engine does not know."""
    table = RouteTable(config, file=file)
    routes = [route for route in sorted(table.routes, key=lambda r: r.index) if route.has(Flag.INBOUND)]
    problems = [problem for route in routes for problem in find_unknowns(route, file)]
    if problems:
        raise PolicyError(problems)
    policy = config.default_policies.default_policy
    default = None if policy is None else Action.ACCEPT if policy == "accept" else Action.REJECT
    obstacles = (*find_counting(config, file), *(p for route in routes for p in find_selectors(route, file)))
    document = json.dumps(config.model_dump(by_alias=True, exclude_unset=True))
    whole = RouteRules(Origin(file, ""), document, obstacles)
    if obstacles:
        return PolicyPart(routes=(whole,), default=default)
    rules, limits = translate_routes(routes, default, file), _limits(config, file)
    return PolicyPart(prefix_rules=rules, limit_rules=limits, routes=(whole,), default=default)


def translate_routes(routes: list[Route], default: Action | None, file: str) -> tuple[PrefixRule, ...]:
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
            text = route.event.label if route.event else ""
            rules.append(PrefixRule(rule_id, action, Prefixes(network, bytes((length,))), origin, text))
    return tuple(rules)


def find_unknowns(route: Route, file: str) -> Iterator[Problem]:
    """Problems for the fields of a route that the engine does not know."""
    stated = (
        ("local/address", Flag.LOCAL_ADDRESS_WILD, "at which of its addresses the server was reached"),
        ("local/interface", Flag.LOCAL_INTERFACE_WILD, "through which interface"),
        ("remote/interface", Flag.REMOTE_INTERFACE_WILD, "through which interface"),
    )
    for field, wild, what in stated:
        if not route.has(wild):
            reason = f"the engine is not told {what}: leave the field out, or filter by it in the kernel"
            yield Problem(file, f"/routes/{route.index}/{field}", reason)


def find_counting(config: Configuration, file: str) -> Iterator[Problem]:
    """Problems for settings that count, track, or filter by results."""
    sections: list[tuple[str, EventConfig]] = [("/config-update", config.config_update)]
    sections += [(f"/events/{at}/config", e.config) for at, e in enumerate(config.events) if e.config is not None]
    for pointer, section in sections:
        for name in COUNTING:
            if getattr(section, name):
                yield Problem(file, f"{pointer}/{dashed(name)}", PYTHON_ONLY)
        if not {"accept", "reject"}.isdisjoint(section.action_res_bits_to_add):
            yield Problem(file, f"{pointer}/action-res-bits-to-add", PYTHON_ONLY)
    for at, event in enumerate(config.events):
        for name in ACTING:
            if TRACK_PEER in (getattr(event, name) or []):
                yield Problem(file, f"/events/{at}/{dashed(name)}", PYTHON_ONLY)


def find_selectors(route: Route, file: str) -> Iterator[Problem]:
    """Problems for fields of a route other than a remote prefix."""
    stated = {
        "protocol": not route.has(Flag.PROTOCOL_WILD),
        "remote/port": not route.has(Flag.REMOTE_PORT_WILD),
        "local/port": not route.has(Flag.LOCAL_PORT_WILD),
        "remote/bitmask": route.has(Flag.REMOTE_BITMASK) and count_mask(route) is None,
    }
    for field, given in stated.items():
        if given:
            yield Problem(file, f"/routes/{route.index}/{field}", PYTHON_ONLY)


def count_mask(route: Route) -> int | None:
    """The prefix length of a bitmask; ``None`` if it is not a prefix."""
    mask = int.from_bytes(route.remote.address[route.remote.bits // 16 :])
    width = route.remote.bits // 2
    bits = mask.bit_count()
    return bits if mask == (1 << bits) - 1 << width - bits else None


def pack_route(route: Route) -> list[tuple[bytes, int]]:
    """The packed prefixes of a route: its own, or all of its family or of both families."""
    if route.has(Flag.REMOTE_ADDRESS_WILD):
        everything = list(EVERYWHERE)
        return everything if not route.family else [everything[0 if route.family == INET else 1]]
    bitmask = route.has(Flag.REMOTE_BITMASK)
    bits = count_mask(route) if bitmask else route.remote.bits
    assert bits is not None  # noqa: S101  # checked by find_selectors
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
