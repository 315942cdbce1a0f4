# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans as an nftables transaction, which the kernel accepts."""

from __future__ import annotations

import json
import subprocess

from lab.timeouts import TIMEOUT
from sentry_engine.exchange.nftables import render_nftables
from tests.sentry_engine.exchange.sample_bans import BANS, NOW


class TestNftables:
    def test_the_kernel_takes_it(self):
        document = render_nftables(BANS, wall_now=NOW)
        (v4,) = [
            c["add"]["element"]["elem"]
            for c in document["nftables"]
            if c.get("add", {}).get("element", {}).get("name") == "blocked4"
        ]
        assert v4 == [
            {"elem": {"val": "192.0.2.1", "timeout": 600}},
            {"prefix": {"addr": "198.51.100.0", "len": 24}},
        ]
        command = ["unshare", "--net", "nft", "-j", "-f", "-"]
        done = subprocess.run(
            command, input=json.dumps(document), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == 0, done.stderr
