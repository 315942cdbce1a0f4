# SPDX-License-Identifier: GPL-3.0-or-later
"""``/settings``."""

from typing import Annotated

from fastapi import Body, Query, Response

from admin_api.dependencies import ServicesOf, SettingsRead, SettingsWrite
from admin_api.http.conditions import IfMatch
from admin_api.http.etags import expect_unchanged
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Document
from admin_api.ports import SettingsControl, SettingsState
from admin_api.services import Services
from admin_api.settings.schemas import SettingsChanged, SettingsView, SettingValue

router = resource_router("/settings", tag="settings")
NO_SERVER = "No server runs; change the configuration's file"
CHANGING = (ProblemKind.PRECONDITION_REQUIRED, ProblemKind.STALE, ProblemKind.UNAVAILABLE)

Changes = Annotated[
    Document,
    Body(
        description="Values by key; null removes an override, so that the file's value is in force again.",
        media_type="application/merge-patch+json",
        examples=[{"vpn.limits.max_same_clients": 3, "log.level": None}],
    ),
]
Prefix = Annotated[str, Query(max_length=128, description="Only keys that begin with this.", examples=["vpn.limits."])]
TryOnly = Annotated[bool, Query(description="Change nothing; return what would be in force.")]


@router.get("", responses=responses(ProblemKind.UNAVAILABLE))
async def get_settings(_: SettingsRead, services: ServicesOf, response: Response, prefix: Prefix = "") -> SettingsView:
    """Get the settings that the server runs with, and where each comes from. Secrets are masked."""
    state = await _control(services).read()
    response.headers["ETag"] = state.etag
    return SettingsView(settings=_show(state, prefix), needs_restart=list(state.needs_restart))


@router.patch("", responses=responses(*CHANGING))
async def change_settings(
    changes: Changes,
    caller: SettingsWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
    dry_run: TryOnly = False,
) -> SettingsChanged:
    """Override settings of the configuration's file, or remove overrides. Needs If-Match.

    All of the changes are in force before the answer, or none. They are stored, and stay through restarts and reloads.
    """

    def check(etag: str) -> None:
        expect_unchanged(if_match, etag, "the settings")

    change = await _control(services).change(changes, check, by=caller.name, dry_run=dry_run)
    response.headers["ETag"] = change.state.etag
    return SettingsChanged(
        settings=_show(change.state),
        needs_restart=list(change.state.needs_restart),
        in_force=list(change.in_force),
        sessions_cut=change.sessions_cut,
    )


def _show(state: SettingsState, prefix: str = "") -> dict[str, SettingValue]:
    return {key: SettingValue.model_validate(entry) for key, entry in state.settings.items() if key.startswith(prefix)}


def _control(services: Services) -> SettingsControl:
    """Raises ``ApiError`` without a server."""
    if services.settings_control is None:
        raise ApiError(ProblemKind.UNAVAILABLE, NO_SERVER)
    return services.settings_control
