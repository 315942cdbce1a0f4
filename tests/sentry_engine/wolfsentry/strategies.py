# SPDX-License-Identifier: GPL-3.0-or-later
"""Random wolfSentry configurations and traffic, with few values per field so that much of it matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sentry_engine.wolfsentry import Endpoint, Traffic
from sentry_engine.wolfsentry.flags import TRACK_PEER

V4 = [f"10.{b}.{c}.{d}" for b in (0, 128) for c in (0, 1) for d in (0, 1, 64, 129, 255)]
V6 = ["2001:db8::1", "2001:db8::8001", "2001:db8:80::1", "fd00::1"]
V4_MASKS = ["255.255.255.0", "255.0.0.255", "0.0.0.1", "255.255.255.255", "0.0.0.0"]
LABELS = ["alpha", "beta", "gamma", "delta"]
WORDS = ["connect", "disconnect", "derogatory", "commendable", "user+0", "unreachable"]


@dataclass(frozen=True, slots=True)
class Question:
    traffic: Traffic
    results: frozenset[str]
    event: str | None
    seconds: int  # since the previous one


@st.composite
def endpoints(draw: st.DrawFn, family: str | None, has_protocol: bool) -> dict[str, Any]:
    end: dict[str, Any] = {}
    if draw(st.integers(0, 4)) == 0:
        end["interface"] = draw(st.integers(0, 2))
    if family is not None and draw(st.booleans()):
        v4 = family == "inet"
        end["address"] = draw(st.sampled_from(V4 if v4 else V6))
        how = draw(st.integers(0, 5))
        if how == 0 and v4:  # the usual build of the library has no room for an IPv6 one
            end["bitmask"] = draw(st.sampled_from(V4_MASKS))
        elif how < 5:
            end["prefix-bits"] = draw(st.integers(1, 32 if v4 else 128))
    if has_protocol and draw(st.integers(0, 2)) == 0:
        end["port"] = draw(st.sampled_from([0, 1, 443]))
    return end


@st.composite
def routes(draw: st.DrawFn, labels: list[str], family: str | None) -> dict[str, Any]:
    route: dict[str, Any] = {"direction-in": True}
    if draw(st.integers(0, 3)) == 0:
        route |= {"direction-in": draw(st.booleans()), "direction-out": True}
    if labels and draw(st.booleans()):
        route["parent-event"] = draw(st.sampled_from(labels))
    for flag in draw(st.sets(st.sampled_from(["penalty-boxed", "green-listed", "port-reset"]), max_size=2)):
        route[flag] = True
    if draw(st.booleans()):
        route["dont-count-current-connections"] = True
    has_protocol = False
    if family is not None:
        route["family"] = family
        if draw(st.integers(0, 2)) == 0:
            route["protocol"], has_protocol = draw(st.sampled_from([6, 17])), True
    for name in ("remote", "local"):
        if end := draw(endpoints(family, has_protocol)):
            route[name] = end
    return route


@st.composite
def settings(draw: st.DrawFn, *, purges: bool, released: bool) -> dict[str, Any]:
    small = st.integers(0, 3)
    made: dict[str, Any] = {}
    for key, values in (
        ("max-connection-count", small),
        ("penalty-box-duration", st.sampled_from([0, 5, "1m"])),
        ("derog-thresh-for-penalty-boxing", small),
        ("derog-thresh-ignore-commendable", st.booleans()),
        ("commendable-clears-derogatory", st.booleans()),
        ("action-res-filter-bits-set", st.lists(st.sampled_from(WORDS[2:]), max_size=1)),
        ("action-res-filter-bits-unset", st.lists(st.sampled_from(WORDS[2:]), max_size=1)),
        ("action-res-bits-to-add", st.lists(st.sampled_from(["user+1", "user+2", "accept"]), max_size=2)),
        ("action-res-bits-to-clear", st.lists(st.sampled_from(["user+0", "derogatory"]), max_size=1)),
    ):
        if draw(st.integers(0, 3)) == 0:
            made[key] = draw(values)
    both = set(made.get("action-res-filter-bits-set", ())) & set(made.get("action-res-filter-bits-unset", ()))
    if both:
        del made["action-res-filter-bits-unset"]
    if purges:
        made["route-idle-time-for-purge"] = draw(st.sampled_from([5, 60, "2m"]))
        # As released, the library hangs if a stale route has connections.
        add = ["dont-count-current-connections"] if released else []
        words = [
            "rport-wild",
            "lport-wild",
            "laddr-wild",
            "liface-wild",
            "riface-wild",
            "green-listed",
            "penalty-boxed",
        ]
        made["route-flags-to-add-on-insert"] = add + sorted(draw(st.sets(st.sampled_from(words))))
        made["route-flags-to-clear-on-insert"] = sorted(draw(st.sets(st.sampled_from(["direction-in", "port-reset"]))))
    return made


@st.composite
def configurations(draw: st.DrawFn, *, released: bool) -> dict[str, Any]:
    """A configuration that the library accepts. The caller drops duplicate routes."""
    tracked = draw(st.booleans())
    labels = LABELS[: draw(st.integers(0, 3))]
    events: list[dict[str, Any]] = []
    limit = draw(st.sampled_from([0, 0, 1, 3]))
    if tracked:
        conf = draw(settings(purges=True, released=released))
        events.append({"label": "tracked", "priority": draw(st.integers(0, 3)), "config": conf})
    for label in labels:
        event: dict[str, Any] = {"label": label, "priority": draw(st.integers(0, 3))}
        if draw(st.booleans()):
            event["config"] = draw(settings(purges=False, released=released))
        if tracked and draw(st.booleans()):
            event["aux-parent-event"] = "tracked"
            # Not both: the library uses a route after free if it is purged while it acts.
            kinds = ["match-actions", "update-actions", "decision-actions"] + ([] if limit else ["post-actions"])
            event[draw(st.sampled_from(kinds))] = [TRACK_PEER]
        events.append(event)
    document: dict[str, Any] = {"wolfsentry-config-version": 1}
    general = draw(settings(purges=False, released=released))
    general = {key: value for key, value in general.items() if not isinstance(value, list)}
    if limit:
        general["max-purgeable-routes"] = limit
    if draw(st.booleans()):
        general["max-purgeable-idle-time"] = draw(st.sampled_from([30, 600]))
    if general:
        document["config-update"] = general
    document["events"] = events
    policies: dict[str, Any] = {}
    if draw(st.integers(0, 3)):
        policies["default-policy"] = draw(st.sampled_from(["accept", "reject"]))
    if labels and draw(st.booleans()):
        policies["default-event"] = draw(st.sampled_from(labels))
    document["default-policies"] = policies
    families = st.sampled_from(["inet", "inet", "inet", "inet6", None] if released else ["inet", "inet", "inet6"])
    made = [draw(routes(labels, draw(families))) for _ in range(draw(st.integers(1, 8)))]
    if not released and draw(st.booleans()):
        made.append(draw(routes(labels, None)))  # with two of them the library hangs
    document["routes"] = made
    return document


@st.composite
def questions(draw: st.DrawFn, labels: list[str]) -> Question:
    pool = V4 if draw(st.integers(0, 4)) else V6
    ends = [
        Endpoint(draw(st.sampled_from(pool)), draw(st.sampled_from([0, 1, 443])), draw(st.integers(0, 2)))
        for _ in range(2)
    ]
    traffic = Traffic(ends[0], ends[1], draw(st.sampled_from([6, 17])), draw(st.integers(0, 3)) > 0)
    results = frozenset(draw(st.sets(st.sampled_from(WORDS), max_size=2)))
    event = draw(st.sampled_from([None, *labels]))
    return Question(traffic, results, event, draw(st.sampled_from([0, 1, 6, 61, 200])))
