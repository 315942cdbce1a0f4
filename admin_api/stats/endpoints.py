# SPDX-License-Identifier: GPL-3.0-or-later
"""``/stats``."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Query

from admin_api.dependencies import ServicesOf, StatusRead
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router
from admin_api.stats.schemas import StatsView
from admin_api.time_series import Resolution, TimeSeries

router = resource_router("/stats", tag="status")


@router.get("", responses=responses())
async def get_stats(
    _: StatusRead,
    services: ServicesOf,
    resolution: Annotated[
        Resolution, Query(description="The last hour in steps of 10 s, day of 2 min, or month of 1 h.")
    ] = Resolution.HOUR,
) -> StatsView:
    """Get time series for charts. They are kept in memory, and are empty when the server starts."""
    samples = services.time_series.read(resolution)
    return StatsView(
        resolution=resolution,
        step=TimeSeries.step_of(resolution),
        at=[sample.at for sample in samples],
        gauges=_columns([sample.gauges for sample in samples]),
        counters=_columns([sample.counters for sample in samples]),
    )


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name, 0.0) for row in rows] for name in names}
