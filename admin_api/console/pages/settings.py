# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that the server runs with, where each comes from, and overrides of those that can change live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def show(visit: Visit) -> Response:
    return await _list(visit)


async def edit(visit: Visit) -> Response:
    return await _edit(visit, visit.path["key"])


async def change(visit: Visit) -> Response:
    """Overrides one setting, or takes its override back. The step ``check`` tells what would happen."""
    fields = await visit.form()
    key, step = visit.path["key"], fields.get("step", "")
    value = None if step == "reset" else _value(fields.get("value", ""))
    query = {"dry_run": True} if step == "check" else {}
    try:
        changed = await visit.api.call(
            "PATCH", "settings", body={key: value}, query=query, if_match=fields.get("etag", "")
        )
    except ApiRefusal as refusal:
        return await _edit(visit, key, refusal=refusal, text=fields.get("value"))
    if step == "check":
        return await _edit(visit, key, text=fields.get("value"), preview=changed.body)
    return visit.go("/settings", done="setting_changed", key=key)


def _value(text: str) -> object:
    """Returns what a field means: JSON where it is, else text, so that a word needs no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


async def _list(visit: Visit) -> Response:
    wanted = visit.query.get("text", "").strip().lower()
    origin = visit.query.get("origin", "")
    answer = await visit.api.get("settings")
    rows = {
        key: entry
        for key, entry in answer["settings"].items()
        if wanted in key.lower() and origin in ("", entry["origin"])
    }
    return await visit.page(
        "server/settings.html", rows=rows, text=wanted, origin=origin, needs_restart=answer["needs_restart"]
    )


async def _edit(
    visit: Visit,
    key: str,
    *,
    refusal: ApiRefusal | None = None,
    text: str | None = None,
    preview: dict[str, object] | None = None,
) -> Response:
    answer = await visit.api.call("GET", "settings", query={"prefix": key})
    entry = answer.body["settings"].get(key)
    if entry is None:
        raise ApiRefusal(404, {"title": "Not found", "detail": f"There is no setting {key}"})
    shown = entry["value"] if isinstance(entry["value"], str) else json.dumps(entry["value"])
    return await visit.page(
        "server/setting.html",
        refusal.status if refusal else 200,
        key=key,
        entry=entry,
        etag=answer.etag,
        value=shown if text is None else text,
        refusal=refusal,
        preview=preview,
    )


PAGES = (
    Page("GET", "/settings", ("settings:read",), show),
    Page("GET", "/settings/{key}", ("settings:read",), edit),
    Page("POST", "/settings/{key}", ("settings:write",), change, step_up=True),
)
