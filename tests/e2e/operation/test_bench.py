# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark measures: its load client moves packets over both channels in both directions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.timeouts import TIMEOUT

ROOT = Path(__file__).parents[3]
MEASURES = ("push-dtls-1", "pull-tls-1", "steady-up-900", "steady-down-900")


def test_the_load_client_moves_packets_over_tls_and_dtls():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--servers", "ocsentry", *MEASURES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT,
        check=True,
    )
    assert "| load client, 1 session, DTLS up | MB/s |" in done.stdout
    assert "| load client, 1 session, TLS down | MB/s |" in done.stdout
    assert "| load client at 900 Mbit/s, DTLS up: lost in the server | % |" in done.stdout
    assert "| load client at 900 Mbit/s, DTLS down: lost in the server | % |" in done.stdout
    assert "round 1:" not in done.stdout, f"a measure failed: {done.stdout}{done.stderr}"
