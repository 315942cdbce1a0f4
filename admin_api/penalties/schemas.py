# SPDX-License-Identifier: GPL-3.0-or-later
"""Penalties on the wire."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import View
from sentry_engine import Reason


class PenaltyView(View):
    network: str
    until: datetime | None = Field(description="null: until it is removed")
    retry_after: float | None = Field(description="seconds until then")
    strikes: int = Field(description="penalties in a row, this one included")
    reason: Reason
    rule_id: str | None


class Forgiven(View):
    forgiven: int = Field(description="penalties that ended")
