# SPDX-License-Identifier: GPL-3.0-or-later
"""Every allocation of the C core fails in turn."""

from __future__ import annotations

import re

from tests.sentry_engine.native.core_program import run_core_program

WRAPPED = ("malloc", "calloc", "realloc", "aligned_alloc", "mmap")


def test_an_allocation_that_fails_widens_nothing_and_leaks_nothing(tmp_path):
    wraps = "-Wl," + ",".join(f"--wrap={name}" for name in WRAPPED)
    failed = re.fullmatch(r"(\d+) allocations failed in turn\n", run_core_program("memory_faults", tmp_path, wraps))
    assert failed
    assert int(failed[1]) > 30
