# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of settings."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.http.values import View
from admin_api.ports import SettingOrigin


class SettingValue(View):
    value: Any = Field(description="As in the configuration's file. Secrets are masked.", examples=[2])
    origin: SettingOrigin = Field(examples=["file"])
    live: bool = Field(description="It can be changed here, and is then in force at once.", examples=[True])
    file_value: Any = Field(None, description="What an override hides.", examples=[2])
    changed_by: str | None = Field(None, description="Who made the override.", examples=["ci#a1b2c3d4e5f6"])
    changed_at: datetime | None = Field(None, examples=["2030-01-01T12:00:00Z"])


class SettingsView(View):
    settings: dict[str, SettingValue] = Field(
        description="By key of the configuration's file. Groups, hosts and other tables in lists are left out.",
        examples=[{"log.level": {"value": "info", "origin": "default", "live": True}}],
    )
    needs_restart: list[str] = Field(
        description="Keys that the file has changed and that wait for a restart.", examples=[["vpn.listen"]]
    )


class SettingsChanged(SettingsView):
    in_force: list[str] = Field(
        description="Changed keys that are in force from now on; in a dry run, that would be.",
        examples=[["log.level"]],
    )
    sessions_cut: int = Field(description="Live sessions that were disconnected.", examples=[0])
