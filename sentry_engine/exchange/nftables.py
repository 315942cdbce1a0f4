# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans as one transaction for ``nft -j -f -`` (libnftables-json(5)): a table with two sets and a dropping chain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sentry_engine.addresses import V4_OFFSET, is_ipv4, render_address
from sentry_engine.exchange.bans import Ban, collapse

TABLE = "ocsentry"
PRIORITY = -10  # before the usual filter chains
FAMILIES = (("ip", "ipv4_addr", "blocked4", True), ("ip6", "ipv6_addr", "blocked6", False))


def render_nftables(bans: Iterable[Ban], *, wall_now: float) -> dict[str, Any]:
    """Commands that replace the table. Expired bans are left out; the kernel ends the others on time."""
    table = {"family": "inet", "table": TABLE}
    commands: list[dict[str, Any]] = [
        {"metainfo": {"json_schema_version": 1}},
        {"add": {"table": {"family": "inet", "name": TABLE}}},
        {"flush": {"table": {"family": "inet", "name": TABLE}}},
        {
            "add": {
                "chain": {
                    **table,
                    "name": "input",
                    "type": "filter",
                    "hook": "input",
                    "prio": PRIORITY,
                    "policy": "accept",
                }
            }
        },
    ]
    live = [ban for ban in collapse(bans) if ban.end > wall_now]
    for protocol, kind, name, v4 in FAMILIES:
        flags = ["interval", "timeout"]
        commands.append({"add": {"set": {**table, "name": name, "type": kind, "flags": flags, "auto-merge": True}}})
        commands.append({"flush": {"set": {**table, "name": name}}})
        elements = [_element(ban, wall_now) for ban in live if _is_v4(ban) is v4]
        if elements:
            commands.append({"add": {"element": {**table, "name": name, "elem": elements}}})
        match = {"op": "==", "left": {"payload": {"protocol": protocol, "field": "saddr"}}, "right": f"@{name}"}
        commands.append({"add": {"rule": {**table, "chain": "input", "expr": [{"match": match}, {"drop": None}]}}})
    return {"nftables": commands}


def _element(ban: Ban, wall_now: float) -> Any:  # noqa: ANN401  # a JSON value
    address, length = render_address(ban.network), ban.length - (V4_OFFSET if _is_v4(ban) else 0)
    whole = ban.length == 128
    value: Any = address if whole else {"prefix": {"addr": address, "len": length}}
    if ban.until is None:
        return value
    return {"elem": {"val": value, "timeout": max(1, math.ceil(ban.until - wall_now))}}


def _is_v4(ban: Ban) -> bool:
    return ban.length >= V4_OFFSET and is_ipv4(ban.network)
