# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all tests: hypothesis without deadlines, for slow machines; the native cores of the build under test."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CORES = {"sentry_engine": "sentry_engine._core", "vpn_frontend": "vpn_frontend._gateway"}

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    """``native/sanitized.sh`` names a build. Raises ``UsageError`` if the cores come from another one."""
    if build := os.environ.get("OCSENTRY_TESTED_BUILD"):
        for core in os.environ["OCSENTRY_CORES"].split():
            file = importlib.import_module(CORES[core]).__file__
            if not Path(str(file)).is_relative_to(build):
                raise pytest.UsageError(f"{CORES[core]} is not the one in {build} but {file}")


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """A command sets the mask of its process, which is the tests' own where a test calls it."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)
