# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test may rely on: hypothesis behaves alike on a slow shared machine and on a fast one, and the native
cores are those of the build that is to be tested."""

import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CORES = {"sentry_engine": "sentry_engine._core", "vpn_frontend": "vpn_frontend._gateway"}

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    """``native/sanitized.sh`` names a build: without the sanitizers its tests would pass all the same."""
    if build := os.environ.get("OCSENTRY_TESTED_BUILD"):
        for core in os.environ["OCSENTRY_CORES"].split():
            file = importlib.import_module(CORES[core]).__file__
            if not Path(str(file)).is_relative_to(build):
                raise pytest.UsageError(f"{CORES[core]} is not the one in {build} but {file}")
