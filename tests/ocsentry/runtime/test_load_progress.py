# SPDX-License-Identifier: GPL-3.0-or-later
"""A long load logs its progress, a short one nothing."""

from __future__ import annotations

from ocsentry.runtime.load_progress import LoadProgress


class Lines:
    def __init__(self):
        self.lines = []

    def write(self, event, level="info", /, **fields):
        self.lines.append((event, level, fields))


def test_a_long_load_logs_its_progress_and_a_short_one_nothing():
    lines, now = Lines(), [10.0]
    progress = LoadProgress(lines, lambda: now[0])
    for done in (0, 25, 50, 75, 100):
        progress(done, 100)
        now[0] += 1.5
    assert [fields["percent"] for _, _, fields in lines.lines] == [50, 100]
    progress(0, 100)
    now[0] += 1.0
    progress(100, 100)
    assert len(lines.lines) == 2
