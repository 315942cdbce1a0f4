# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: the list, one rule, and the editor of all rules made over the API."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page
from admin_api.console.rendering import pretty, segment
from sentry_engine import rule_file_schema

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

CONFIRM_WITHIN = "60"  # seconds until an applied policy is rolled back unless it is confirmed; the form may say more


async def list_rules(visit: Visit) -> Response:
    return await visit.listing("policy/rules.html", "rules")


async def show(visit: Visit) -> Response:
    rule = await visit.api.get(f"rules/{segment(visit.path['id'])}")
    return await visit.page("policy/rule.html", rule=rule)


async def remove(visit: Visit) -> Response:
    path = f"rules/{segment(visit.path['id'])}"
    etag = (await visit.api.call("GET", path)).etag
    await visit.api.call("DELETE", path, if_match=etag)
    return visit.go("/rules", done="rule_removed")


async def edit(visit: Visit) -> Response:
    policy = await visit.api.call("GET", "policy")
    return await _editor(visit, pretty(policy.body["api_rules"]), policy.etag, pretty(policy.body["api_rules"]))


async def schema(visit: Visit) -> Response:  # noqa: ARG001 - it is the same for everybody
    """The JSON schema of rule documents, for proposals in the editor."""
    return JSONResponse(rule_file_schema())


async def submit(visit: Visit) -> Response:
    """Checks, simulates or applies what the editor holds. An applied policy waits to be confirmed."""
    fields = await visit.form()
    text, etag, step = fields.get("document", ""), fields.get("etag", ""), fields.get("step", "check")
    present = pretty((await visit.api.get("policy"))["api_rules"])
    try:
        document = json.loads(text)
    except ValueError as error:
        return await _editor(visit, text, etag, present, problem=f"This is not JSON: {error}")
    try:
        if step == "apply":
            wait = fields.get("confirm_within") or CONFIRM_WITHIN
            canary = fields.get("canary", "").split()
            body = {"document": document, "confirm_within": wait, "reason": fields.get("reason", ""), "canary": canary}
            await visit.api.call("POST", "policy/apply", body=body, if_match=etag)
            return visit.go("/rules", done="applied")
        report = await visit.api.post("policy/check", document)
        simulation = await visit.api.post("policy/simulate", document) if step == "simulate" else None
    except ApiRefusal as refusal:
        return await _editor(visit, text, etag, present, refusal=refusal)
    return await _editor(visit, text, etag, present, report=report, simulation=simulation)


async def _editor(visit: Visit, text: str, etag: str, present: str, **found: Any) -> Response:  # noqa: ANN401
    shown: dict[str, Any] = {"problem": "", "refusal": None, "report": None, "simulation": None, **found}
    lines = difflib.unified_diff(present.splitlines(), text.splitlines(), "in force", "edited", lineterm="", n=2)
    template = "policy/rule_report.html" if visit.is_fragment else "policy/rule_editor.html"
    status = shown["refusal"].status if shown["refusal"] and not visit.is_fragment else 200
    more = {"text": text, "etag": etag, "diff": [*lines], "confirm_within": CONFIRM_WITHIN}
    return await visit.page(template, status, **more, **shown)


PAGES = (
    Page("GET", "/rules", ("rules:read",), list_rules),
    Page("GET", "/rules/edit", ("policy:write",), edit),
    Page("POST", "/rules/edit", ("policy:write",), submit),
    Page("GET", "/rules/schema", ("rules:read",), schema),
    Page("GET", "/rules/{id:path}", ("rules:read",), show),
    Page("POST", "/rules/{id:path}/remove", ("rules:write",), remove, step_up=True),
)
