# SPDX-License-Identifier: GPL-3.0-or-later
"""The C files that use Python keep to its stable ABI: wheels and packages are built for that, a checkout is not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "sentry_engine" / "native" / "build_ext.py"
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in ROOT.glob("*/native/**/*.c")
    if re.search(r'#include (<Python\.h>|"binding/)', path.read_text())
)


def test_the_sources_are_found():
    assert Path("sentry_engine/native/binding/fast_calls.c") in SOURCES
    assert len(SOURCES) >= 4


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_source_keeps_to_the_stable_abi(source):
    (version,) = re.findall(r'STABLE_ABI = "(\w+)"', BUILD.read_text())
    include = [f"-I{path}" for path in (source.parents[1], sysconfig.get_path("include"))]
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    command = [*compiler, "-fsyntax-only", "-std=gnu11", f"-DPy_LIMITED_API={version}", *include, str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
