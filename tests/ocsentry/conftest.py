# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's folder, a command line that runs on it, and a server in a network namespace."""

from __future__ import annotations

import shutil

import pytest

from lab.namespaces import Claim, Namespace
from ocsentry.setup.init import init_server
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving


@pytest.fixture(scope="session")
def initialised(tmp_path_factory):
    """A folder made by ``init``; copy it, do not change it."""
    folder = tmp_path_factory.mktemp("provisioned") / "server"
    init_server(folder, names=["vpn.example.org"])
    return folder


@pytest.fixture
def command_line(initialised, tmp_path):
    """A command line on a folder made by ``init``."""
    shutil.copytree(initialised, tmp_path / "server")
    return CommandLine(tmp_path / "server")


@pytest.fixture
def bare_command_line(tmp_path):
    """A command line on an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def namespace():
    """The name of a network namespace."""
    claim = Claim()
    yield Namespace.create(claim.name("serve")).name
    claim.release()


@pytest.fixture
def served(command_line, namespace):
    """A server that is ready."""
    with serving(Served(command_line, namespace)) as server:
        yield server
