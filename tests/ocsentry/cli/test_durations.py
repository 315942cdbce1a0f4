# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and sizes as text."""

from __future__ import annotations

import pytest

from ocsentry.cli.durations import format_bytes, format_duration, parse_duration
from ocsentry.errors import OperatorError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800), ("1w", 604_800), ("1h30m", 5400)],
)
def test_valid_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1y", "h", "1.5h", "1 h", "99999999999w", "٣s", "1h x"])
def test_invalid_durations(text):
    with pytest.raises(OperatorError, match="not a duration"):
        parse_duration(text)


def test_reading():
    assert [format_duration(value) for value in (0, 59.9, 3600, 90_061, 604_800)] == ["0s", "59s", "1h", "1d 1h", "7d"]
    assert [format_bytes(value) for value in (0, 1500, 2e7, 3.2e9, 4e12)] == [
        "0 B",
        "1.5 kB",
        "20 MB",
        "3.2 GB",
        "4 TB",
    ]
