# SPDX-License-Identifier: GPL-3.0-or-later
"""Every emitted event is in the catalog, and is named by its enumeration."""

from __future__ import annotations

import ast
from pathlib import Path

from admin_api.log_events import ApiEvent
from ocsentry.observability.event_catalog import EVENT_CATALOG, LogEvent
from vpn_frontend.ports import VpnEvent

ROOT = Path(__file__).parents[3]
PACKAGES = ("admin_api", "ocsentry", "vpn_frontend")


def literal_events():
    """Where ``emit`` gets its event as text."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "emit"
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                    and isinstance(node.args[0].value, str)
                ):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.args[0].value}"


def test_events_are_named_by_their_enumerations():
    assert list(literal_events()) == []


def test_the_catalog_lists_every_event():
    assert {*VpnEvent, *LogEvent, *ApiEvent} == set(EVENT_CATALOG)
