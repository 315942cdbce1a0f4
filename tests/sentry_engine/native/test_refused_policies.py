# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that are wrong in one field, and policies from files that are wrong in one word."""

from __future__ import annotations

import re

from tests.sentry_engine.native.core_program import run_core_program


def test_what_is_wrong_in_one_place_is_refused_or_does_no_harm(tmp_path):
    printed = run_core_program("refused_policies", tmp_path)
    counts = re.fullmatch(r"(\d+) plans refused; of (\d+) changed policies (\d+) refused\n", printed)
    assert counts
    plans, changed, refused = map(int, counts.groups())
    assert plans == 23
    assert changed > refused > changed // 2
