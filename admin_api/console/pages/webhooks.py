# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers of events, and what became of the deliveries to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page
from admin_api.console.rendering import segment
from admin_api.event_schemas.union import EVENT_KINDS

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_webhooks(visit: Visit) -> Response:
    return await _list(visit)


async def create(visit: Visit) -> Response:
    """Adds a receiver. The answer is the only page that ever shows its secret."""
    fields = await visit.form()
    body = {
        "url": fields.get("url", "").strip(),
        "kinds": fields.get("kinds", "").replace(",", " ").split(),
        "note": fields.get("note", ""),
    }
    try:
        made = await visit.api.post("webhooks", body)
    except ApiRefusal as refusal:
        return await _list(visit, refusal=refusal, fields=fields)
    return await _list(visit, made=made)


async def show(visit: Visit) -> Response:
    path = _path(visit)
    answer = await visit.api.call("GET", path)
    state = visit.query.get("state", "")
    return await visit.listing(
        "server/webhook.html",
        f"{path}/deliveries",
        query={"state": state},
        hook=answer.body,
        etag=answer.etag,
        state=state,
    )


async def switch(visit: Visit) -> Response:
    """Pauses the deliveries to a receiver, or goes on with them."""
    fields = await visit.form()
    enabled = fields.get("enabled") == "yes"
    await visit.api.call("PATCH", _path(visit), body={"enabled": enabled}, if_match=fields.get("etag", ""))
    return _back(visit, "webhook_on" if enabled else "webhook_off")


async def test(visit: Visit) -> Response:
    await visit.api.post(f"{_path(visit)}:test")
    return _back(visit, "webhook_tested")


async def redeliver(visit: Visit) -> Response:
    await visit.api.post(f"{_path(visit)}/deliveries/{segment(visit.path['delivery'])}:redeliver")
    return _back(visit, "redelivered")


async def remove(visit: Visit) -> Response:
    fields = await visit.form()
    await visit.api.call("DELETE", _path(visit), if_match=fields.get("etag", ""))
    return visit.go("/webhooks", done="webhook_removed")


def _path(visit: Visit) -> str:
    return f"webhooks/{segment(visit.path['id'])}"


def _back(visit: Visit, done: str) -> Response:
    return visit.go(f"/webhooks/{segment(visit.path['id'])}", done=done)


async def _list(
    visit: Visit,
    *,
    made: dict[str, object] | None = None,
    refusal: ApiRefusal | None = None,
    fields: dict[str, str] | None = None,
) -> Response:
    return await visit.listing(
        "server/webhooks.html",
        "webhooks",
        refusal.status if refusal else 200,
        made=made,
        refusal=refusal,
        fields=fields or {},
        kinds=EVENT_KINDS,
    )


PAGES = (
    Page("GET", "/webhooks", ("webhooks:read",), list_webhooks),
    Page("POST", "/webhooks", ("webhooks:write",), create),
    Page("GET", "/webhooks/{id}", ("webhooks:read",), show),
    Page("POST", "/webhooks/{id}/switch", ("webhooks:write",), switch),
    Page("POST", "/webhooks/{id}/test", ("webhooks:write",), test),
    Page("POST", "/webhooks/{id}/deliveries/{delivery}/redeliver", ("webhooks:write",), redeliver),
    Page("POST", "/webhooks/{id}/remove", ("webhooks:write",), remove),
)
