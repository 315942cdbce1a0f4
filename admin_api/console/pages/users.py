# SPDX-License-Identifier: GPL-3.0-or-later
"""Users: the list, one user with its sessions and limits, adding and changing one, and the second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.console.api_caller import ApiRefusal
from admin_api.console.page import Page
from admin_api.console.rendering import segment

if TYPE_CHECKING:
    from starlette.responses import Response

    from admin_api.console.visit import Visit


async def list_users(visit: Visit) -> Response:
    return await visit.listing("accounts/users.html", "users", query={"group": visit.query.get("group")})


async def new_user(visit: Visit) -> Response:
    return await visit.page("accounts/user_form.html", fields={}, refusal=None)


async def create(visit: Visit) -> Response:
    fields = await visit.form()
    body: dict[str, Any] = {"name": fields.get("name", ""), "groups": _words(fields.get("groups", ""))}
    if fields.get("password"):
        body["password"] = fields["password"]
    try:
        await visit.api.post("users", body)
    except ApiRefusal as refusal:
        kept = {name: value for name, value in fields.items() if name != "password"}
        return await visit.page("accounts/user_form.html", refusal.status, fields=kept, refusal=refusal)
    return visit.go(f"/users/{segment(body['name'])}", done="user_created")


async def show(visit: Visit) -> Response:
    return await _user(visit)


async def change(visit: Visit) -> Response:
    """Changes what the form has: groups, the number of devices, whether the user may log in, a new password."""
    fields = await visit.form()
    path = f"users/{segment(visit.path['name'])}"
    devices = fields.get("max_same_clients", "").strip()
    body: dict[str, Any] = {
        "groups": _words(fields.get("groups", "")),
        "enabled": fields.get("enabled") == "yes",
        "max_same_clients": int(devices) if devices.isdigit() else None,
        "note": fields.get("note", ""),
    }
    if fields.get("password"):
        body["password"] = fields["password"]
    await visit.api.call("PATCH", path, body=body, if_match=fields.get("etag", ""))
    return visit.go(f"/users/{segment(visit.path['name'])}", done="user_changed")


async def enrol(visit: Visit) -> Response:
    """Makes a new secret for one-time passwords. The page is the only place that ever shows it."""
    made = await visit.api.post(f"users/{segment(visit.path['name'])}/totp")
    return await _user(visit, enrolment=made)


async def confirm(visit: Visit) -> Response:
    fields = await visit.form()
    path = f"users/{segment(visit.path['name'])}/totp/confirm"
    made = await visit.api.post(path, {"code": fields.get("code", "").replace(" ", "")})
    return await _user(visit, codes=made["codes"])


async def reset(visit: Visit) -> Response:
    await visit.api.delete(f"users/{segment(visit.path['name'])}/totp")
    return visit.go(f"/users/{segment(visit.path['name'])}", done="totp_reset")


async def forget_device(visit: Visit) -> Response:
    path = f"users/{segment(visit.path['name'])}/devices/{segment(visit.path['device'])}"
    await visit.api.delete(path)
    return visit.go(f"/users/{segment(visit.path['name'])}", done="device_forgotten")


async def _user(visit: Visit, **shown_once: Any) -> Response:  # noqa: ANN401 - a template's
    name = visit.path["name"]
    answer = await visit.api.call("GET", f"users/{segment(name)}")
    devices = await visit.api.get(f"users/{segment(name)}/devices")
    totp = None
    if visit.services.totp is not None:
        totp = await visit.api.get(f"users/{segment(name)}/totp")
    sessions: dict[str, Any] = {"items": []}
    if visit.may("sessions:read"):
        sessions = await visit.api.get("sessions", user=name)
    shown = {"enrolment": None, "codes": None, **shown_once}
    shown |= {"totp": totp, "devices": devices["items"], "rows": sessions["items"]}
    return await visit.page("accounts/user.html", user=answer.body, etag=answer.etag, **shown)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


PAGES = (
    Page("GET", "/users", ("users:read",), list_users),
    Page("GET", "/users/new", ("users:write",), new_user),
    Page("POST", "/users/new", ("users:write",), create),
    Page("GET", "/users/{name}", ("users:read",), show),
    Page("POST", "/users/{name}", ("users:write",), change, step_up=True),
    Page("POST", "/users/{name}/totp", ("users:write",), enrol),
    Page("POST", "/users/{name}/totp/confirm", ("users:write",), confirm),
    Page("POST", "/users/{name}/totp/reset", ("users:write",), reset, step_up=True),
    Page("POST", "/users/{name}/devices/{device}/forget", ("users:write",), forget_device),
)
