# SPDX-License-Identifier: GPL-3.0-or-later
"""``[groups.NAME]``: what the members of a group get instead of the server's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, model_validator

from admin_api.session_settings.overrides import (
    BandwidthOverrides,
    Banner,
    End,
    GroupLabel,
    LimitsOverrides,
    NetworkOverrides,
    QuotaOverrides,
    SessionOverrides,
    Windows,
    as_overrides,
    gather_tables,
)
from ocsentry.configuration.fields import ProfileFile, Section, section
from ocsentry.configuration.sections.auth import GroupAuthSection
from vpn_frontend.settings import Overrides

if TYPE_CHECKING:
    from admin_api.session_settings.overrides import GroupSettings

MAX_FILE_GROUPS = 1000


class GroupSection(Section):
    """Every key may be left out. Keys of the tables may be written without their table."""

    label: GroupLabel = Field("", description="Text of the group in the login form. With a label the form offers it.")
    banner: Banner | None = Field(None, description="Text shown after the login.")
    profile: ProfileFile = Field(
        "", description="File with a client profile of AnyConnect (XML), which its members fetch."
    )
    schedule: Windows = Field(
        [],
        description="When its members may be connected: a list of `{days, from, to, zone}`. Empty: always.",
    )
    expires_at: End | None = Field(None, description="From this time on its members may not be connected.")
    auth: GroupAuthSection = section()
    network: NetworkOverrides = Field({}, description="Keys of `[vpn.network]` without `device`.")
    bandwidth: BandwidthOverrides = Field({}, description="Keys of `[vpn.bandwidth]`.")
    quota: QuotaOverrides = Field({}, description="Keys of `[vpn.quota]`.")
    limits: LimitsOverrides = Field({}, description="`max_same_clients`.")
    session: SessionOverrides = Field({}, description="Keys of `[vpn.session]`.")

    @model_validator(mode="before")
    @classmethod
    def _gather_tables(cls, values: Any) -> object:  # noqa: ANN401 - what the file has
        return gather_tables(values)

    def overrides(self) -> Overrides:
        """What the group sets, for the VPN."""
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        label = given.pop("label", "")
        given.pop("auth", None)
        return as_overrides(cast("GroupSettings", given), label)
