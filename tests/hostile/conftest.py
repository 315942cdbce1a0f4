# SPDX-License-Identifier: GPL-3.0-or-later
"""One server for all hostile cases of a test process, and the invariant that holds after each case.

host 1 (a tunnel over TLS that pings) ───────── v1 ┐
host 2 (a tunnel over DTLS that pings) ──────── v2 ┼ gateway 10.77.0.1, `ocsentry serve`
host 3 (hostile) ────────────────────────────── v3 │
host 4 (blocked by the policy throughout) ───── v4 ┘
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.namespaces import Claim
from lab.network import Network
from lab.server import Server, make_template
from tests.hostile.arena import SETTINGS, Arena

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = int(os.environ.get("OCSENTRY_HOSTILE_ROUNDS", "1"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.netns)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if ROUNDS > 1:
        metafunc.fixturenames.append("round_number")
        metafunc.parametrize("round_number", range(ROUNDS))


@pytest.fixture(scope="session")
def started_arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    if os.geteuid() != 0 or not shutil.which("openconnect"):
        pytest.fail("these tests need openconnect and root: run them by 'make e2e', as root")
    claim = Claim()
    network = Network(claim)
    try:
        template = make_template(tmp_path_factory.mktemp("template"), ())
        server = Server(network, tmp_path_factory.mktemp("server"), template, builtin_limits=False, settings=SETTINGS)
        arena = Arena(server)
        yield arena
        arena.close()
    finally:
        for program in network.programs:
            if program.running:
                program.kill()
        network.close()
        claim.release()


@pytest.fixture(autouse=True)
def arena(started_arena: Arena) -> Iterator[Arena]:
    """The invariant of every case: see ``Arena.check``."""
    yield started_arena
    try:
        started_arena.check()
    finally:
        started_arena.restore()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the end of the server's output to the report of a failure."""
    report = yield
    arena = getattr(item, "funcargs", {}).get("started_arena")
    if report.failed and arena is not None:
        report.sections.append(("output of the server", arena.server.program.tail))
    return report
