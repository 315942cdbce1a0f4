# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo-fleet`: what it tells of three nodes and a real client, and that nothing stays. See lab/fleet_demo.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.timeouts import TIMEOUT

ROOT = Path(__file__).parents[3]


def test_the_demo_of_a_fleet_shows_a_block_and_a_killed_node_and_leaves_nothing(claim):
    with tempfile.TemporaryDirectory(prefix="ocs-demo-") as folder:
        Path(folder).chmod(0o755)
        told = run_demo({**os.environ, "TMPDIR": folder})
        assert not list(Path(folder).iterdir())
    cut = r"n1 has cut it\. The client was told:\n +.*demo: scans\n +The block is in force on 3 of 3 nodes"
    assert re.search(cut, told), told
    addresses = re.findall(r"inner address (192\.168\.99\.\d+)", told)
    assert len(addresses) == 3, told
    assert addresses[1] == addresses[2], "the one of the client before and after the kill"
    assert told.count("answered") == 3, told
    assert "the same session" in told


def run_demo(environment):
    command = [sys.executable, "-m", "lab.fleet_demo"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=4 * TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
