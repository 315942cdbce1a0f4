# SPDX-License-Identifier: GPL-3.0-or-later
"""Data races in the C core, found by ThreadSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "sentry_engine" / "native"
SECONDS = 600.0  # timeout of a build or a run, which take about ten


@pytest.fixture(scope="module")
def environment(monkeypatch_module):
    """The environment without the preloaded runtime of another sanitizer."""
    monkeypatch_module.delenv("LD_PRELOAD", raising=False)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def compile_with_threads(source: str, folder: Path) -> Path:
    program = folder / "race"
    core = [str(path) for path in sorted(NATIVE.rglob("*.c")) if path.parent.name != "binding"]  # which needs Python
    sources = [str(Path(__file__).with_name(source)), *core]
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=thread", f"-I{NATIVE}"]
    command = ["gcc", *flags, *sources, "-o", str(program), "-lm", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    return program


def test_readers_swaps_and_an_operator_do_not_race(environment, tmp_path):
    program = compile_with_threads("race.c", tmp_path)
    # Disables address randomisation, because the shadow memory does not fit every layout.
    ran = subprocess.run(["setarch", "-R", str(program)], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert "400 swaps" in ran.stdout
