# SPDX-License-Identifier: GPL-3.0-or-later
"""A large database: every network is read, progress is reported, and other threads keep running.

``OCSENTRY_GEOIP_NETWORKS`` sets the number of networks; 1 000 000 take a minute to write and ten seconds to read.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from sentry_engine import Engine, GeoipPaths, Policy
from sentry_engine.geoip.mmdb_reader import PROGRESS_EVERY
from tests.sentry_engine.geoip.made_databases import CODES, write_countries

NETWORKS = int(os.environ.get("OCSENTRY_GEOIP_NETWORKS", "30000"))
REFUSED = frozenset(CODES[::2])
RULE = {"id": "far", "type": "geo_filter", "country": sorted(REFUSED), "action": "reject"}
DOCUMENT = {"wolfsentry": {"version": "1", "rules": [RULE], "builtin_limits": False, "geoip": {"on_missing": "reject"}}}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Any, str]]:
    path = tmp_path_factory.mktemp("geoip") / "large.mmdb"
    return path, write_countries(path, NETWORKS)


def load(path: Path, progress: Any = None) -> Policy:
    return Policy.load(documents={"d": DOCUMENT}, geoip=GeoipPaths(country=path), progress=progress)


def test_every_network_has_its_countrys_verdict(database, core_name):
    path, said = database
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: list[tuple[int, int]] = []
    policy = load(path, lambda done, whole: told.append((done, whole)))
    took, more = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{NETWORKS} networks read in {took:.1f} s, {more / 1024:.0f} MB more at most")
    chance = random.Random(2)
    with Engine(policy, core=core_name) as engine:
        for network in chance.sample(sorted(said, key=str), 2_000):
            host = network[chance.randrange(network.num_addresses)]
            assert engine.decide("connect", host).accepted is (said[network] not in REFUSED), host
        assert not engine.decide("connect", "192.0.2.1").accepted
    if told:  # none for the second core: the database is cached until its file changes
        assert len(told) >= told[-1][1] // PROGRESS_EVERY
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1]


@pytest.mark.asyncio
async def test_the_event_loop_turns_while_it_is_read(database, tmp_path):
    path = tmp_path / "copy.mmdb"  # another file: not cached
    path.write_bytes(database[0].read_bytes())
    turns = 0
    loading = asyncio.create_task(asyncio.to_thread(load, path))
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await loading).geo.country is not None
    assert turns > 10
