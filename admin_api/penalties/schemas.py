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


class Forgiven(View):
    forgiven: int = Field(description="Penalties that were ended.")
