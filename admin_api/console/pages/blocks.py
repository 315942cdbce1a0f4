# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: the list, a new block with a preview of what it ends, and lifting one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit

TIMES = (("600", "10 min"), ("3600", "1 hour"), ("86400", "1 day"), ("604800", "1 week"), ("", "until lifted"))
WIDEST = {4: 16, 6: 32}  # the shortest prefix of the slider
MAX_SHOWN = 20  # sessions named in a preview
FORCEABLE = frozenset({"self_lockout", "needs_force"})


async def list_blocks(visit: Visit) -> Response:
    covers = visit.query.get("covers", "").strip()
    return await visit.listing("policy/blocks.html", "blocks", query={"covers": covers}, covers=covers)


async def new_block(visit: Visit) -> Response:
    fields = {"address": visit.query.get("address", ""), "reason": "", "ttl": "3600", "prefix": ""}
    return await _form(visit, fields)


async def create(visit: Visit) -> Response:
    """The first submission shows what the block would do; the second, with step=block, makes it."""
    fields = await visit.form()
    cidr = _network(fields)
    body: dict[str, str | int] = {"cidr": cidr, "reason": fields.get("reason", "").strip()}
    if ttl := fields.get("ttl"):
        body["ttl"] = int(ttl) if ttl.isdecimal() and len(ttl) < 12 else ttl  # the API refuses the latter, naming it
    force = fields.get("confirmation", "").strip() == cidr
    try:
        dry = await visit.api.post("blocks", body, dry_run=True, force=force)
        if fields.get("step") == "block":
            made = await visit.api.post("blocks", body, force=force)
            return visit.go("/blocks", done="blocked", undo=made["id"] or "")
    except ApiRefusal as refusal:
        return await _form(visit, fields, refusal=refusal, cidr=cidr, needs_force=refusal.code in FORCEABLE)
    return await _form(visit, fields, preview=dry, cidr=cidr, cut=await _sessions_in(visit, cidr))


async def lift(visit: Visit) -> Response:
    await visit.api.delete(f"blocks/{visit.path['id']}")
    return visit.go("/blocks", done="lifted")


async def _form(visit: Visit, fields: dict[str, str], **more: Any) -> Response:  # noqa: ANN401 - a template's
    shown: dict[str, Any] = {"refusal": None, "preview": None, "cidr": "", "cut": [], "needs_force": False, **more}
    status = shown["refusal"].status if shown["refusal"] else 200
    try:
        version = ip_address(fields.get("address", "").partition("/")[0].strip()).version
    except ValueError:
        version = 4
    longest = 32 if version == 4 else 128
    return await visit.page(
        "policy/block_form.html", status, fields=fields, times=TIMES, widest=WIDEST[version], longest=longest, **shown
    )


async def _sessions_in(visit: Visit, cidr: str) -> list[dict[str, Any]]:
    """Returns the live sessions that the block would end, at most MAX_SHOWN."""
    if not visit.may("sessions:read"):
        return []
    network = ip_network(cidr)
    views = visit.services.sessions.affected_by(network)
    return [{"user": view.user, "address": str(view.address)} for view, _ in zip(views, range(MAX_SHOWN), strict=False)]


def _network(fields: dict[str, str]) -> str:
    """Returns the network of the address and the slider's prefix; what is no address goes to the API as it is."""
    address, _, written = fields.get("address", "").strip().partition("/")
    prefix = written or fields.get("prefix", "").strip()
    try:
        return str(ip_network(f"{address}/{prefix}" if prefix else address, strict=False))
    except ValueError:
        return fields.get("address", "").strip()


PAGES = (
    Page("GET", "/blocks", ("blocks:read",), list_blocks),
    Page("GET", "/blocks/new", ("blocks:write",), new_block),
    Page("POST", "/blocks/new", ("blocks:write",), create, step_up=True),
    Page("POST", "/blocks/{id}/lift", ("blocks:write",), lift),
)
