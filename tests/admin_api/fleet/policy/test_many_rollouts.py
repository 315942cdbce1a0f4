# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of the policy after another, by one of three nodes, of which one cannot compile half of them.

OCSENTRY_FLEET_ROLLOUTS: changes (100 before a release).
"""

from __future__ import annotations

import os
import random
import shutil

import pytest

from admin_api.fleet.policy import rollout
from lab.timeouts import TIMEOUT
from sentry_engine import PolicyError
from tests.admin_api.fleet.policy.conftest import OTHER, change, rule, votes, write

pytestmark = pytest.mark.asyncio
ROLLOUTS = int(os.environ.get("OCSENTRY_FLEET_ROLLOUTS", "6"))


async def test_each_of_many_changes_is_in_force_on_all_nodes_or_on_none(
    run_node, rules_folder, tmp_path, ask, monkeypatch
):
    monkeypatch.setattr(rollout, "SPREAD_WAIT", TIMEOUT)  # until all have it, however slow the machine
    folders = [shutil.copytree(rules_folder, tmp_path / f"rules{number}") for number in range(3)]
    nodes = [await run_node(f"n{number}", rules=folder) for number, folder in enumerate(folders)]
    for running in nodes:
        await votes(running, ask)
    chosen, refused = random.Random(1), 0
    for number in range(ROLLOUTS):
        name, address = f"rule{number}", f"198.18.{number}.7"
        proposer, unable = chosen.sample(range(3), 2)
        fails = number % 2 == 1
        if fails:
            write(folders[unable], "more.json", rule(name, OTHER))  # an id that it has in a file already
            assert (await nodes[unable].enforcement.reload(automatic=True)).valid
        wanted = change(name, rule(name, f"{address}/32"))
        if fails:
            with pytest.raises(PolicyError, match=rf"n{unable}: .*{name}"):
                await nodes[proposer].enforcement.change_rule(wanted)
            refused += 1
        else:
            await nodes[proposer].enforcement.change_rule(wanted)
        assert [running.refuses(address) for running in nodes] == [not fails] * 3
        if fails:
            (folders[unable] / "more.json").unlink()
            assert (await nodes[unable].enforcement.reload(automatic=True)).valid
    assert refused == ROLLOUTS // 2
    assert ask("SELECT count(*) FROM rules") == [(ROLLOUTS - refused,)]
