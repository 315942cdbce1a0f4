# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of penalties."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import View
from sentry_engine import Reason


class PenaltyView(View):
    network: str
    until: datetime | None = Field(description="Null: until the penalty is removed.")
    retry_after: float | None = Field(description="Seconds until the penalty ends.")
    strikes: int = Field(description="Consecutive penalties, including this one.")
    reason: Reason
    rule_id: str | None


class SourceEvents(View):
    event: str = Field(description="Kind of event that a limit counts.", examples=["auth_failure"])
    count: int = Field(description="Events that still count.", examples=[3])
    last_at: datetime = Field(description="The latest of them.", examples=["2030-01-04T09:30:00Z"])


class SourceView(View):
    network: str = Field(
        description="An address, or the network that limits count as one source.", examples=["198.51.100.7/32"]
    )
    strikes: int = Field(description="Consecutive penalties that are not forgotten yet.", examples=[1])
    events: list[SourceEvents] = Field(description="What limits count of it, by kind.")


class Forgiven(View):
    forgiven: int = Field(description="Penalties that were ended.")
