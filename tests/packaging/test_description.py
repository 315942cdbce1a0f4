# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of the packages names what is there. `make package-test` tries the package itself."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from setuptools import find_packages

from lab.timeouts import TIMEOUT

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "contrib" / "packaging"
TEXT = (PACKAGING / "nfpm.yaml").read_text()
SCRIPTS = sorted(PACKAGING.glob("*.sh"))


def test_what_is_packed_and_run_exists():
    named = re.findall(r"(?:src|postinstall|preremove|postremove): ((?:contrib|[A-Z]+\b)\S*)", TEXT)
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_for_a_plain_shell(script):
    subprocess.run(["dash", "-n", script], check=True, timeout=TIMEOUT)
    assert script.read_text().startswith("#!/bin/sh\n")


def test_the_engine_alone_takes_its_versions_from_the_project():
    """It has no version and no bound of its own, and every extension of the engine."""
    engine = (PACKAGING / "engine.toml").read_text()
    assert 'version = "@VERSION@"' in engine
    assert "dependencies = [@DEPENDENCIES@]" in engine
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = [one for one in project["tool"]["setuptools"]["ext-modules"] if one["name"].startswith("sentry_engine.")]
    filled = tomllib.loads(engine.replace("@DEPENDENCIES@", ""))
    assert filled["tool"]["setuptools"]["ext-modules"] == ours


def test_every_format_activates_an_upgrade():
    """rpm after the transaction, the others at the end of a script, which apk has under two names."""
    description = yaml.safe_load(TEXT.replace("@", ""))
    assert description["rpm"]["scripts"]["posttrans"] == "contrib/packaging/activate.sh"
    joined = description["scripts"]["postinstall"]
    assert description["apk"]["scripts"]["postupgrade"] == joined
    assert "postinstall" not in description["overrides"]["deb"].get("scripts", {})
    written = re.findall(
        r"contrib/packaging/(\w+\.sh) >+\"\$STAGE/postinstall.sh\"", (PACKAGING / "build.sh").read_text()
    )
    assert written == ["postinstall.sh", "activate.sh"]


def test_a_package_asks_for_the_python_that_made_its_environment():
    """A number written here would be that of one distribution."""
    overrides = yaml.safe_load(TEXT.replace("@", ""))["overrides"]
    assert {"python3 (>= PYTHON)", "python3 (<< PYTHON_NEXT)"} <= set(overrides["deb"]["depends"])
    assert "pythonPYTHON" in overrides["rpm"]["depends"]
    filled = set(re.findall(r"s\|(@[A-Z_]+@)\|", (PACKAGING / "build.sh").read_text()))
    assert set(re.findall(r"@[A-Z_]+@", TEXT)) == filled


@pytest.mark.parametrize("unit", ["ocsentry.service", "ocsentry-helper@.service", "ocsentry-pam@.service"])
def test_what_outlives_an_upgrade_has_the_files_of_its_own_version(unit):
    lines = (ROOT / "ocsentry" / "starter" / unit).read_text().splitlines()
    assert "BindReadOnlyPaths=-/opt/ocsentry/releases/current:/opt/ocsentry" in lines
    assert "releases=/opt/ocsentry/releases" in (PACKAGING / "activate.sh").read_text()


def test_a_removal_stops_every_unit():
    starter = ROOT / "ocsentry" / "starter"
    units = {unit.name for unit in (*starter.glob("ocsentry*.s*"), *starter.glob("*.timer")) if "@" not in unit.name}
    started_by_a_timer = {unit.with_suffix(".service").name for unit in starter.glob("*.timer")}
    assert units - started_by_a_timer <= set((PACKAGING / "preremove.sh").read_text().split())
    assert len(units) == 6


def test_a_purge_removes_what_init_writes():
    removed = (PACKAGING / "postremove.sh").read_text()
    for place in ("/etc/ocsentry", "/var/lib/ocsentry", "/etc/sysctl.d/60-ocsentry.conf", "inet ocsentry_clients"):
        assert place in removed


def test_the_wheel_has_four_packages_and_says_whose_they_are():
    """No test doubles and no migrations beside them; the pages that texts name are packed."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setuptools, project = described["tool"]["setuptools"], described["project"]
    packed = find_packages(str(ROOT), **setuptools["packages"]["find"])
    assert {name.partition(".")[0] for name in packed} == {"admin_api", "ocsentry", "sentry_engine", "vpn_frontend"}
    assert [name for name in packed if "testing" in name.split(".")] == []
    assert "admin_api.store.migrations" in packed
    packed_pages = {
        f"{folder}/{page.name}"
        for folder, patterns in setuptools["data-files"].items()
        for pattern in patterns
        for page in ROOT.glob(pattern)
    }
    docs = ROOT / "docs"
    assert {f"share/doc/ocsentry/{page.relative_to(docs)}" for page in docs.rglob("*.md")} <= packed_pages
    assert project["authors"]
    assert len(project["classifiers"]) > 3
