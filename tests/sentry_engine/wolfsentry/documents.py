# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry configurations and traffic for tests, in short notation."""

from __future__ import annotations

from typing import Any

from sentry_engine.wolfsentry import Endpoint, RouteTable, Traffic, read_config

TRACK = "%track-peer-v1"


IN = {"direction-in": True}


def remote(address: str | None = None, bits: int | None = None, **more: Any) -> dict[str, Any]:
    body = {"address": address, "prefix-bits": bits, **more}
    return {"remote": {key: value for key, value in body.items() if value is not None}}


def config(
    *routes: dict[str, Any], events: list[dict[str, Any]] | None = None, default: str | None = "reject", **more: Any
) -> dict[str, Any]:
    policies = {} if default is None else {"default-policies": {"default-policy": default}}
    return {
        "wolfsentry-config-version": 1,
        **more,
        "events": events or [],
        **policies,
        "routes": [{**IN, **r} for r in routes],
    }


def table(*routes: dict[str, Any], **more: Any) -> RouteTable:
    return RouteTable(read_config(config(*routes, **more), file="f"))


def traffic(
    address: str = "10.0.0.1",
    *,
    port: int = 1234,
    local: str = "192.0.2.1",
    local_port: int = 443,
    protocol: int = 6,
    **more: Any,
) -> Traffic:
    return Traffic(Endpoint(address, port), Endpoint(local, local_port), protocol, **more)


def decide(routes: RouteTable, target: Traffic, *results: str, now: float = 0.0) -> tuple[bool, int | None]:
    outcome = routes.dispatch(target, results, now=now)
    return outcome.accepted, outcome.route


GREEN, BOXED = {"green-listed": True}, {"penalty-boxed": True}


TRACKING = {
    "events": [
        {
            "label": "tracked",
            "priority": 1,
            "config": {
                "derog-thresh-for-penalty-boxing": 2,
                "penalty-box-duration": "10m",
                "route-idle-time-for-purge": "5m",
                "route-flags-to-add-on-insert": ["laddr-wild", "lport-wild", "rport-wild"],
            },
        },
        {"label": "generator", "priority": 5, "aux-parent-event": "tracked", "match-actions": ["own", TRACK]},
    ]
}


NTP = {**BOXED, "family": "inet", "protocol": "udp", **remote(port=123)}
