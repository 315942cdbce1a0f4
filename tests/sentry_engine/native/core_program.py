# SPDX-License-Identifier: GPL-3.0-or-later
"""C programs with the whole core but what needs Python, under ASan and UBSan."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.timeouts import TIMEOUT

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "sentry_engine" / "native"


def run_core_program(name: str, folder: Path, *options: str) -> str:
    """Compiles ``name``.c of this folder and runs it. Returns what it printed; it has to exit with 0."""
    program = folder / name
    sources = [str(path) for path in sorted(NATIVE.rglob("*.c")) if path.parent.name != "binding"]  # which needs Python
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", f"-I{NATIVE}"]
    source = str(Path(__file__).with_name(f"{name}.c"))
    command = ["gcc", *flags, source, *sources, *options, "-o", str(program), "-lm", "-lpthread"]
    # Without the runtime of another sanitizer.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, check=True, capture_output=True, timeout=10 * TIMEOUT, env=environment)
    ran = subprocess.run([program], capture_output=True, text=True, timeout=10 * TIMEOUT, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout
