# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes with a folder of rule files each, and the changes of the policy that tests make on them."""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio

from admin_api.enforcement.api_rules import FORMAT_VERSION, RuleChange
from admin_api.fleet.policy import rollout
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.conftest import seen

NETWORK, INSIDE, OTHER = "198.51.100.0/24", "198.51.100.7", "203.0.113.7"


def rule(name, network=NETWORK):
    return {"id": name, "type": "blacklist", "remote_addr": network}


def change(name, document, **more):
    return RuleChange(name, document, "me", lambda _: None, force=True, **more)


def write(folder, name, *rules):
    (folder / name).write_text(json.dumps({"wolfsentry": {"version": FORMAT_VERSION, "rules": list(rules)}}))


async def votes(running, ask):
    """Wait until the answers of ``running`` count."""
    name = running.node.settings.name
    statement = (
        "SELECT 1 FROM fleet.beats b JOIN fleet.nodes n ON n.id = b.node WHERE n.name = :name AND b.prepared > 0"
    )
    await seen(running, ask, statement, name=name)


async def level(pair, ask):
    """Wait until each node has followed all that the others have told, also of what they noted on the way."""
    told = None
    async with asyncio.timeout(TIMEOUT):
        while told != (told := ask("SELECT revision FROM fleet.head")[0][0]):
            for running in pair:
                await running.node.changes.wait_for(told)
                await running.node._rules.settle()


@pytest.fixture
def folders(tmp_path, rules_folder):
    """The folders of rule files of two nodes, with the same files in both."""
    other = tmp_path / "other"
    other.mkdir()
    for file in rules_folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    return rules_folder, other


@pytest_asyncio.fixture
async def pair(run_node, folders, ask, monkeypatch):
    monkeypatch.setattr(rollout, "SPREAD_WAIT", TIMEOUT)  # until all have it, however slow the machine
    nodes = [await run_node(f"n{number + 1}", rules=folder) for number, folder in enumerate(folders)]
    for running in nodes:
        await votes(running, ask)
    return nodes
