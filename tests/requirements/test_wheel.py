# SPDX-License-Identifier: GPL-3.0-or-later
"""What a wheel installs: the four packages with their data and pages, no test doubles and no C sources."""

from __future__ import annotations

import os
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = "from setuptools import setup; setup()"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the metadata and, in ``lib``, the Python part of a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-W", "ignore", "-c", SETUP, "--quiet", "egg_info", "--egg-base", folder]
    command += ["build_py", "--build-lib", folder / "lib"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def installed(built):
    """The files that a wheel has besides the compiled cores, by their path below site-packages."""
    return sorted(path.relative_to(built / "lib") for path in (built / "lib").rglob("*") if path.is_file())


def test_four_packages_are_installed(installed):
    assert {path.parts[0] for path in installed} == {"sentry_engine", "vpn_frontend", "admin_api", "ocsentry"}


def test_what_the_program_reads_is_installed(installed):
    names = set(map(str, installed))
    assert "admin_api/store/migrations/env.py" in names
    assert "admin_api/store/migrations/versions/0001_first_schema.py" in names
    for folder, kinds in (("ocsentry/starter", ("*.toml", "*.service", "*.socket", "rules/*.json")),):
        assert {str(path.relative_to(ROOT)) for kind in kinds for path in (ROOT / folder).glob(kind)} <= names


def test_sources_and_test_doubles_are_left_out(installed):
    assert [path for path in installed if path.suffix in {".c", ".h", ".sh"}] == []
    assert [path for path in installed if "testing" in path.parts] == []


def test_the_source_archive_has_every_native_source():
    kinds = {line.split()[1]: set(line.split()[2:]) for line in (ROOT / "MANIFEST.in").read_text().splitlines()}
    for package in ("sentry_engine", "vpn_frontend"):
        suffixes = {f"*{path.suffix}" for path in (ROOT / package).glob("**/native/**/*.[chs]*") if path.is_file()}
        assert suffixes - {"*.so", "*.pyc"} <= kinds[package]


def test_the_metadata_name_authors_and_kind(built):
    found = message_from_string((built / "ocsentry.egg-info" / "PKG-INFO").read_text())
    assert found["Author"] == "The ocsentry authors"
    assert "Operating System :: POSIX :: Linux" in found.get_all("Classifier")
