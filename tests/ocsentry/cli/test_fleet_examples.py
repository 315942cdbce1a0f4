# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of a fleet in ``docs/commands.md`` are what a node prints that is alone in its fleet.

``OCSENTRY_WRITE_EXAMPLES=1`` writes the outputs again. Fleets of several nodes are in ``tests/e2e/fleet``.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import os
import re
import shutil

import pytest

from lab.namespaces import Claim, Namespace
from lab.server import rule_document
from lab.services.postgresql import running_postgresql
from tests.ocsentry.cli.test_examples import FLEET, PAGE, WRITE, renewed
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving

pytestmark = pytest.mark.netns
RULES = rule_document([{"id": "no_store", "type": "blacklist", "remote_addr": "203.0.113.0/28"}])
STORE = re.compile(r'(?<=^\[store\]\n)url = ".*"$', re.MULTILINE)
NODE = """
[fleet]
name = "n1"
secret_file = "fleet.secret"
"""


@pytest.fixture
def cli(initialised, tmp_path, monkeypatch):
    folder = tmp_path / "server"
    shutil.copytree(initialised, folder)
    secret = folder / "fleet.secret"
    secret.write_text("5e" * 32)
    secret.chmod(0o600)
    (folder / "api.json").write_text(RULES)
    monkeypatch.chdir(folder)
    claim = Claim()
    try:
        with running_postgresql() as database:
            config = folder / "ocsentry.toml"
            text, count = STORE.subn(f'url = "{database.url}"', config.read_text())
            assert count == 1
            config.write_text(text + NODE)
            with serving(Served(CommandLine(folder), Namespace.create(claim.name("fleet")).name)) as server:
                yield server.command_line
                server.stop()
    finally:
        claim.release()


def test_the_examples_of_a_fleet_are_what_its_node_prints(cli):
    before, mark, text = PAGE.read_text().partition(FLEET)
    new, wrong = renewed(cli, text)
    if os.environ.get(WRITE):
        PAGE.write_text(before + mark + new)
    else:
        assert not wrong, "\n".join(wrong)
