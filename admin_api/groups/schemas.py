# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of groups."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from admin_api.http.values import Body, Text, View
from admin_api.session_settings.effective import EffectiveValue
from admin_api.session_settings.overrides import GroupLabel, GroupName, GroupSettings, gather_tables

Settings = Annotated[
    GroupSettings,
    BeforeValidator(gather_tables),
    Field(
        description="What the members get, by table and key as in the configuration file.",
        examples=[{"network": {"routes": ["10.0.0.0/8"]}, "bandwidth": {"from_client": 1_250_000}}],
    ),
]


class GroupReplace(Body):
    """Everything but the name."""

    label: GroupLabel = Field("", description="Text in the login form. With a label the form offers the group.")
    note: Text = Field("", description="A remark.")
    settings: Settings = Field(default_factory=GroupSettings)


class GroupCreate(GroupReplace):
    name: GroupName


class GroupView(View):
    name: str = Field(examples=["staff"])
    source: str = Field(description="`api`, or `file` for a read-only group of the configuration.", examples=["api"])
    label: str
    note: str
    settings: dict[str, Any] = Field(description="What the group sets.")
    members: int = Field(description="Users of the directory that have it.")
    created_at: datetime | None = None
    updated_at: datetime | None = None


class GroupDetail(GroupView):
    effective: dict[str, EffectiveValue] = Field(
        description="What a member without settings of its own and without other groups gets, and `auth.methods` and "
        "`auth.require` of logins by the group, by key."
    )


class GroupChanged(GroupDetail):
    sessions_cut: int = Field(description="Live sessions that were disconnected; in a dry run, that would be.")
    in_force: list[str] = Field(description="Changed keys that live sessions have from now on.")
    at_next_login: list[str] = Field(description="Changed keys that sessions get when they connect again.")
