# SPDX-License-Identifier: GPL-3.0-or-later
"""The same sources give the same bytes. The engine's core stands for both here; `make reproducible` compares both."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def test_a_core_built_twice_in_two_folders_is_the_same(tmp_path):
    program = Path(__file__).with_name("reproducible.sh")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([program, "sentry_engine"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"[0-9a-f]{64}  sentry_engine/_core\.[\w-]+\.so\n", done.stdout)
