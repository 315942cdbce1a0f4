# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of time series."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import View
from admin_api.time_series import Resolution


class StatsView(View):
    """Columns of equal length: one value of each series for each time."""

    resolution: Resolution = Field(examples=["hour"])
    step: float = Field(description="Seconds between two samples.", examples=[10.0])
    at: list[datetime] = Field(description="The ends of the steps, oldest first.", examples=[["2030-01-01T12:00:00Z"]])
    gauges: dict[str, list[float]] = Field(
        description="sessions, blocks, penalties and rules at the end of each step.", examples=[{"sessions": [17]}]
    )
    counters: dict[str, list[float]] = Field(
        description="How much decisions, refusals, logins, sessions and inner bytes rose during each step.",
        examples=[{"logins_accepted": [2]}],
    )
