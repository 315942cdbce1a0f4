# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry stats``: charts of series."""

from __future__ import annotations

import pytest

from ocsentry.cli.commands.activity.stats import BARS, CELLS, PLAIN_BARS, _bars_of, chart, render_stats

MB = 1_000_000


def answer(steps, **more):
    return {
        "step": 10.0,
        "at": [f"2030-01-01T12:00:{10 * number:02}Z" for number in range(steps)],
        "gauges": {"sessions": [3.0, 0.0, 6.0][:steps]},
        "counters": {"refusals": [0.0, 5.0, 1.0][:steps], "rx_bytes": [0.0, 2.0 * MB, 1.5 * MB][:steps]},
    } | more


def test_each_series_has_its_figures_and_a_chart():
    assert render_stats(answer(3)).splitlines() == [
        "3 steps of 10s until 2030-01-01T12:00:20Z",
        "",
        "SERIES    LATEST  LEAST  MOST  TOTAL   CHART",
        "sessions  6       0      6     -       ▅▁█",
        "refusals  1       0      5     6       ▁█▃",
        "rx_bytes  1.5 MB  0 B    2 MB  3.5 MB  ▁█▇",
    ]


def test_a_server_that_has_just_started_has_no_samples():
    assert render_stats(answer(0)) == "no samples yet: a step takes 10s, and the first one begins with the server"


@pytest.mark.parametrize("length", [1, CELLS, CELLS + 1, 360, 720])
def test_a_chart_is_never_longer_than_its_cells(length):
    drawn = chart([1.0] * length, BARS, max)
    assert min(length, CELLS) // 2 < len(drawn) <= CELLS
    assert set(drawn) == {BARS[-1]}


def test_parts_of_a_counter_are_summed_and_those_of_a_gauge_are_not():
    values = [0.0] * (CELLS * 2)
    values[0] = values[1] = 1.0
    values[-1] = 2.0
    assert chart(values, BARS, sum) == BARS[-1] + BARS[0] * (CELLS - 2) + BARS[-1]
    assert chart(values, BARS, max) == BARS[4] + BARS[0] * (CELLS - 2) + BARS[-1]


def test_a_little_differs_from_nothing():
    assert chart([0.0, 1.0, 1_000_000.0], BARS, max) == BARS[0] + BARS[1] + BARS[-1]


def test_nothing_at_all_is_drawn_as_nothing():
    assert chart([0.0, 0.0], BARS, sum) == BARS[0] * 2


@pytest.mark.parametrize(
    ("encoding", "bars"), [("utf-8", BARS), ("iso-8859-1", PLAIN_BARS), (None, PLAIN_BARS), ("no-such", PLAIN_BARS)]
)
def test_an_output_without_bars_gets_others(encoding, bars):
    assert _bars_of(encoding) == bars
    assert len(PLAIN_BARS) == len(BARS)
