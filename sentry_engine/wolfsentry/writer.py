# SPDX-License-Identifier: GPL-3.0-or-later
"""Writer of configurations for libwolfsentry: its order of keys, and no label that it does not know.

Raises ``PolicyError`` for configurations that this project reads and the library does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sentry_engine.errors import PolicyError, Problem
from sentry_engine.wolfsentry.flags import FLAGS, TRACK_PEER, WILD
from sentry_engine.wolfsentry.model import ACTING, Configuration, EndpointSection, EventSection, RouteSection
from sentry_engine.wolfsentry.route import FAMILIES
from sentry_engine.wolfsentry.traffic import INET, unpack

ACTIONS = (
    "post-actions", "insert-actions", "match-actions", "update-actions", "delete-actions", "decision-actions",
)  # fmt: skip
ENDPOINT_KEYS = ("interface", "address", "prefix-bits", "bitmask", "port")


def write_config(config: Configuration, *, file: str) -> bytes:
    """The configuration as JSON, without the actions of applications."""
    problems = [*find_obstacles(config, file)]
    if problems:
        raise PolicyError(problems)
    document: dict[str, Any] = {"wolfsentry-config-version": 1}
    general = without_empty_lists(config.config_update.model_dump(by_alias=True, exclude_unset=True))
    policies = config.default_policies.model_dump(by_alias=True, exclude_none=True)
    sections = (
        ("config-update", general),
        ("events", [write_event(event, config) for event in order_events(config)]),
        ("default-policies", policies),
        ("routes", [write_route(route) for route in config.routes]),
    )
    document |= {name: section for name, section in sections if section}
    return json.dumps(document).encode()


def find_obstacles(config: Configuration, file: str) -> Iterator[Problem]:
    """Problems that the library would refuse."""
    for index, route in enumerate(config.routes):
        stated = [f"{name}/port" for name in ("remote", "local") if getattr(route, name).port is not None]
        if stated and route.protocol is None:
            yield Problem(file, f"/routes/{index}/{stated[0]}", "libwolfsentry needs a protocol beside a port")
    if config.default_policies.default_policy == "reset":
        yield Problem(file, "/default-policies/default-policy", "libwolfsentry knows accept and reject here, no reset")
    for key, value in config.config_update.model_dump(by_alias=True).items():
        if isinstance(value, list) and value:
            yield Problem(file, f"/config-update/{key}", "libwolfsentry takes lists in the config of an event only")
    if len(order_events(config)) < len(config.events):
        yield Problem(file, "/events", "libwolfsentry has no aux-parent-event that goes round in a circle")


def find_unbounded(config: Configuration, file: str) -> Iterator[Problem]:
    """Problems that leave memory unbounded: by default the library keeps every route that traffic inserts."""
    general = config.config_update
    events = {event.label: (at, event) for at, event in enumerate(config.events)}
    makers = [e for e in config.events if any(TRACK_PEER in (getattr(e, name) or []) for name in ACTING)]
    if makers and not general.max_purgeable_routes:
        yield Problem(file, "/config-update/max-purgeable-routes", "libwolfsentry has no limit of its own: state one")
    for maker in makers:
        at, made = events[maker.aux_parent_event or maker.label]
        config_of = general if made.config is None else made.config.over(general)
        if not config_of.route_idle_time_for_purge:
            pointer = f"/events/{at}/config/route-idle-time-for-purge"
            yield Problem(file, pointer, "libwolfsentry never purges the routes that are made for it: state one")


def order_events(config: Configuration) -> list[EventSection]:
    """Events ordered after the one they refer to. Circular ones are left out."""
    waiting, ordered, known = list(config.events), [], set[str]()
    while ready := [e for e in waiting if e.aux_parent_event is None or e.aux_parent_event in known]:
        ordered += ready
        known |= {event.label for event in ready}
        waiting = [event for event in waiting if event.label not in known]
    return ordered


def write_event(event: EventSection, config: Configuration) -> dict[str, Any]:
    stated = event.model_dump(by_alias=True, exclude_unset=True)
    stated["post-actions"] = [*(stated.pop("actions", None) or []), *(stated.get("post-actions") or [])]
    document: dict[str, Any] = {key: value for key, value in stated.items() if key in ("label", "priority")}
    if event.config is not None:  # an empty one counts: it copies the general configuration
        count = event.config.over(config.config_update).max_connection_count
        document["config"] = {"max-connection-count": count, **without_empty_lists(stated["config"])}
    if event.aux_parent_event is not None:
        document["aux-parent-event"] = event.aux_parent_event
    document |= {key: [TRACK_PEER] for key in ACTIONS if TRACK_PEER in (stated.get(key) or [])}
    return document


def without_empty_lists(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value != []}


def write_route(route: RouteSection) -> dict[str, Any]:
    stated = route.model_dump(by_alias=True, exclude_unset=True)
    document = {key: stated[key] for key in ("parent-event",) if stated.get(key) is not None}
    document |= {word: stated[word] for word, flag in FLAGS.items() if not flag & WILD and word in stated}
    family = find_family(route)
    if family:
        document["family"] = "inet" if family == INET else "inet6"
    if route.protocol is not None:
        document["protocol"] = route.protocol
    for name in ("remote", "local"):
        end = {key: stated[name][key] for key in ENDPOINT_KEYS if (stated.get(name) or {}).get(key) is not None}
        document |= {name: end} if end else {}
    return document


def find_family(route: RouteSection) -> int:
    """The stated family, or that of an address; 0: any."""
    if route.family is not None:
        return FAMILIES[route.family]
    ends: tuple[EndpointSection, ...] = (route.remote, route.local)
    return next((unpack(end.address)[0] for end in ends if end.address), 0)
