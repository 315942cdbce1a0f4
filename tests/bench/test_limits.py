# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of which a server's cost is made: each program runs, and the paths carry what they say."""

from __future__ import annotations

import json
import subprocess

import pytest

from bench.limits.__main__ import WAYS, build


@pytest.fixture(scope="module")
def program():
    return build()


@pytest.mark.netns
@pytest.mark.parametrize("way", WAYS)
def test_each_part_is_measured(program, way):
    done = subprocess.run([program, way, "0.02"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["done"] > 0
    assert found["cpu_ns"] > 0
    assert (found["bytes"] > 0) == (way in {"aes", "aes-packet", "up", "down"})
    assert (found["drained"] > 0) == (way in {"up", "down"})
