# SPDX-License-Identifier: GPL-3.0-or-later
"""Every allocation of the C core fails in turn."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lab.timeouts import TIMEOUT

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "sentry_engine" / "native"
WRAPPED = ("malloc", "calloc", "realloc", "aligned_alloc", "mmap")


def test_an_allocation_that_fails_widens_nothing_and_leaks_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)  # the runtime of another sanitizer
    program = tmp_path / "memory_faults"
    sources = [str(path) for path in sorted(NATIVE.rglob("*.c")) if path.parent.name != "binding"]  # which needs Python
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", f"-I{NATIVE}"]
    wraps = "-Wl," + ",".join(f"--wrap={name}" for name in WRAPPED)
    source = str(Path(__file__).with_name("memory_faults.c"))
    command = ["gcc", *flags, source, *sources, wraps, "-o", str(program), "-lm", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, timeout=10 * TIMEOUT)
    ran = subprocess.run([program], capture_output=True, text=True, timeout=10 * TIMEOUT, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    failed = re.fullmatch(r"(\d+) allocations failed in turn\n", ran.stdout)
    assert failed
    assert int(failed[1]) > 30
