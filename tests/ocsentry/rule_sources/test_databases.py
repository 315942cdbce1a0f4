# SPDX-License-Identifier: GPL-3.0-or-later
"""A GeoIP database is replaced while the server runs: a valid one is loaded, an invalid one is refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.store import Store
from lab.timeouts import TIMEOUT
from ocsentry.configuration.policy_files import WATCHED_SUFFIXES, load_policy, policy_loader, watched_paths
from ocsentry.configuration.sections.policy import PolicySection
from ocsentry.late_sessions import LateSessions
from ocsentry.rule_sources.watcher import RuleWatcher
from sentry_engine import Engine, PolicyError

DATA = Path(__file__).parents[2] / "data" / "geoip"
GOOD, CITY = DATA / "GeoLite2-Country-Test.mmdb", DATA / "GeoLite2-City-Test.mmdb"
BROKEN = {
    "GeoIP2-City-Test-Broken-Double-Format": "bad data",
    "GeoIP2-City-Test-Invalid-Node-Count": "Error opening database file. The search tree extends past the end",
    "MaxMind-DB-test-broken-pointers-24": "bad data",
    "MaxMind-DB-test-broken-search-tree-24": "the search tree has a loop",
}
BRITISH = "2.125.160.217"
RULE = {"id": "far", "type": "geo_filter", "country": ["GB"], "action": "reject"}


@pytest.fixture
def policy(tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.json").write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [RULE]}}))
    database = tmp_path / "places" / "country.mmdb"
    database.parent.mkdir()
    replace(database, GOOD.read_bytes())
    return PolicySection(rules=[rules], geoip_country=database, feeds=tmp_path / "feeds")


def replace(path, content):
    """Replace the file as updaters do: write a new file, then rename it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


@asynccontextmanager
async def serving(policy, tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'db'}")
    hub, watcher = EventHub(), RuleWatcher(watched_paths(policy), WATCHED_SUFFIXES)
    engine = Engine(load_policy(policy), core="reference")
    enforcement = Enforcement(engine, LateSessions(), store, policy.rules, events=hub, load=policy_loader(policy))
    reloads: asyncio.Queue = asyncio.Queue()

    async def watch():
        async for _ in watcher.changes():
            reloads.put_nowait(await enforcement.reload(by="file watcher"))

    watching = asyncio.create_task(watch())
    try:
        yield engine, hub, lambda: asyncio.wait_for(reloads.get(), TIMEOUT)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await enforcement.stop()
        engine.close()
        await store.close()


@pytest.mark.asyncio
async def test_a_good_database_is_loaded_and_a_broken_one_is_not(policy, tmp_path):
    async with serving(policy, tmp_path) as (engine, hub, reloaded):
        assert not engine.decide("connect", BRITISH).accepted
        replace(policy.geoip_country, CITY.read_bytes())
        assert (await reloaded()).valid
        assert engine.policy.geo_lookup.find(BRITISH).latitude is not None
        in_force = engine.policy
        whole = CITY.read_bytes()
        for content in (b"", b"no database", whole[: len(whole) // 2]):
            replace(policy.geoip_country, content)
            report = await reloaded()
            assert [problem.file for problem in report.problems] == [str(policy.geoip_country)]
            assert engine.policy is in_force
            assert not engine.decide("connect", BRITISH).accepted
        assert [event.kind for event in hub._kept].count("policy_refused") == 3
        replace(policy.geoip_country, GOOD.read_bytes())
        assert (await reloaded()).valid


@pytest.mark.parametrize(("name", "words"), BROKEN.items())
def test_each_broken_test_database_of_maxmind_is_refused_with_a_reason(policy, name, words):
    replace(policy.geoip_country, (DATA / f"{name}.mmdb").read_bytes())
    with pytest.raises(PolicyError) as caught:
        load_policy(policy)
    (problem,) = caught.value.problems
    assert problem.file == str(policy.geoip_country)
    assert words in problem.reason


def test_a_missing_database_is_an_error_at_the_start(policy):
    policy.geoip_country.unlink()
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        load_policy(policy)
