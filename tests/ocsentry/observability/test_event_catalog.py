# SPDX-License-Identifier: GPL-3.0-or-later
"""Every emitted event is in the catalog, and is named by its enumeration."""

from __future__ import annotations

import ast
from pathlib import Path

from admin_api.event_schemas.registry import EVENT_FIELDS
from admin_api.event_schemas.union import EVENT_KINDS
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


ENUMERATIONS = {"VpnEvent": VpnEvent, "ApiEvent": ApiEvent, "LogEvent": LogEvent}
# The fields that a function adds to those of its callers.
EMITTERS = {"emit": set(), "emit_session_event": {"session", "user", "address"}, "_emit": {"server", "purpose"}}
LOG_ONLY = {  # never in the event stream
    LogEvent.STOPPED, LogEvent.LOOP_STUCK, LogEvent.DATABASES_LOADING, LogEvent.EVENTS_SUPPRESSED,
    LogEvent.LOG_LINES_LOST, LogEvent.PRIVILEGES_DROPPED, LogEvent.RUNNING_AS_ROOT, LogEvent.RESTRICTION_MISSING,
    LogEvent.OCSERV_KEY_DIFFERS, LogEvent.OCSERV_KEY_IGNORED, LogEvent.MESSAGE,
}  # fmt: skip


def emitted():
    """Yields where an event is emitted, its kind, the names of its fields, and whether there may be more."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                kinds = [
                    ENUMERATIONS[one.value.id][one.attr]
                    for one in node.args
                    if isinstance(one, ast.Attribute) and getattr(one.value, "id", None) in ENUMERATIONS
                ]
                if name in EMITTERS and kinds:
                    given = {keyword.arg for keyword in node.keywords}
                    yield f"{path.name}:{node.lineno}", kinds[0], EMITTERS[name] | (given - {None}), None in given


def test_every_event_of_the_stream_has_its_fields_described():
    assert {*EVENT_KINDS} - {"gap"} == {*VpnEvent, *LogEvent, *ApiEvent} - LOG_ONLY, (
        "describe the fields of the event in admin_api/event_schemas"
    )


def test_events_have_the_fields_that_are_described():
    found = list(emitted())
    assert len(found) > 60
    for place, kind, fields, more in found:
        model = EVENT_FIELDS[kind].model_fields
        needed = {name for name, field in model.items() if field.is_required()}
        assert fields <= set(model), (place, kind)
        assert more or needed <= fields, (place, kind)


def test_decisions_have_the_fields_that_are_described():
    """They are made of a dictionary, without what is not known."""
    source = (ROOT / "ocsentry" / "observability" / "decision_events.py").read_text()
    (names,) = (
        {key.value for key in node.keys}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict) and any(getattr(key, "value", None) == "latency_us" for key in node.keys)
    )
    assert names == set(EVENT_FIELDS[LogEvent.DECISION].model_fields)
