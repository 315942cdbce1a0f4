# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock files pin every dependency that pyproject.toml declares: one version, hashes, no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def declared():
    """Pairs of a lock file's name and a requirement that it must satisfy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tables = {"build": project["build-system"]["requires"], "server": project["project"]["dependencies"]}
    tables |= project["project"]["optional-dependencies"]
    return [(name, Requirement(text)) for name, texts in tables.items() for text in texts]


def entries(file):
    """The logical lines of a lock file, without comments."""
    text = re.sub(r"^ *#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def pins(file):
    """The version of each package in a lock file, by canonical name."""
    requirements = [Requirement(line.partition("--hash")[0].strip()) for line in entries(file)]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in requirements}


@pytest.mark.parametrize(("lock", "requirement"), declared(), ids=str)
def test_every_declared_dependency_is_locked_at_a_version_that_satisfies_it(lock, requirement):
    locked = pins(ROOT / "requirements" / f"{lock}.lock")
    assert locked[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_lock_file_has_its_declaration():
    assert {file.stem for file in LOCKS} == {lock for lock, _ in declared()}


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_every_entry_is_one_version_with_hashes(file):
    for line in entries(file):
        assert re.fullmatch(r"[\w.-]+==[\w.!+]+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_no_lock_file_names_an_index(file):
    assert not re.search(r"://|--(extra-)?index-url|--find-links", file.read_text())


def test_the_lock_files_agree_on_every_version():
    versions = {}
    for file in LOCKS:
        for name, version in pins(file).items():
            assert versions.setdefault(name, version) == version, f"{name} in {file.name}"


def test_the_build_installs_from_the_lock_files_only():
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"\$\((PIP(?:_LOCKED)?)\)(?! install --require-hashes)(.*)", makefile)
    assert len(installs) == 6
    for variable, arguments in installs:
        assert variable == "PIP_LOCKED" or "--no-deps --no-build-isolation --editable ." in arguments, arguments
