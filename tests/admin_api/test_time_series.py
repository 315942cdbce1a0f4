# SPDX-License-Identifier: GPL-3.0-or-later
"""Time series: bounded, at three resolutions, and read over ``/stats``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from admin_api.http.identity import Scope
from admin_api.stats.sampler import Sampler
from admin_api.time_series import SHAPES, Resolution, TimeSeries
from vpn_frontend.gateway.interface import Counters

START = datetime(2030, 1, 1, tzinfo=UTC)


def test_counters_are_rises_and_gauges_are_values():
    series = TimeSeries()
    for number, total in enumerate([5, 7, 7, 2]):  # the last one: the counted thing began again
        series.add(START + timedelta(seconds=10 * number), {"sessions": number}, {"logins": total})
    samples = series.read(Resolution.HOUR)
    assert [sample.counters["logins"] for sample in samples] == [2, 0, 0]
    assert [sample.gauges["sessions"] for sample in samples] == [1, 2, 3]


def test_every_resolution_is_bounded():
    series = TimeSeries()
    for number in range(360 * 800):
        series.add(START, {}, {"n": number})
    for resolution, shape in SHAPES.items():
        samples = series.read(resolution)
        assert len(samples) == shape.steps
        assert {sample.counters["n"] for sample in samples} == {shape.every}


@pytest.mark.asyncio
async def test_stats(server, view):
    sampler = Sampler(server.services)
    await sampler.take()
    server.sessions.add(view(counters=Counters(rx_bytes=100, tx_bytes=50)))
    server.services.events.emit("login_accepted", user="alice")
    await sampler.take()
    server.sessions.add(view(counters=Counters(rx_bytes=130, tx_bytes=50)))
    await sampler.take()
    found = (await server.client.get("/api/v1/stats")).json()
    assert (found["resolution"], found["step"], len(found["at"])) == ("hour", 10.0, 2)
    assert found["gauges"]["sessions"] == [1, 1]
    assert found["counters"]["logins_accepted"] == [1, 0]
    assert (found["counters"]["rx_bytes"], found["counters"]["tx_bytes"]) == ([100, 30], [50, 0])
    assert (await server.client.get("/api/v1/stats?resolution=year")).status_code == 422
    reader = await server.client_with(Scope.BLOCKS_READ)
    assert (await reader.get("/api/v1/stats")).status_code == 403
