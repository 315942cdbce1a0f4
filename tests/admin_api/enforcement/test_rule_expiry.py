# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the API that have ended are removed by the server, in one version, with an event and an audit row each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from admin_api.clock import Clock
from admin_api.enforcement.api_rules import RuleChange
from admin_api.enforcement.policy.changes import Application
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import FakeSessions

pytestmark = pytest.mark.asyncio

START = datetime(2030, 1, 2, 12, tzinfo=UTC)


class Wall:
    now = START

    def seconds(self):
        return self.now.timestamp()


class Events(EventHub):
    def __init__(self):
        super().__init__()
        self.told = []

    def emit(self, kind, **fields):
        self.told.append((kind, fields.get("id")))
        super().emit(kind, **fields)


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def enforcement(store, wall):
    clock = Clock(wall=lambda: wall.now, monotonic=wall.seconds)
    policy = Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": []}})
    clocks = {"clock": clock.monotonic, "wall_clock": wall.seconds}
    with Engine(policy, core="reference", **clocks) as engine:
        yield Enforcement(engine, FakeSessions(engine), store, (), events=Events(), clock=clock)


async def add(enforcement, name, minutes=None):
    document = {"id": name, "type": "blacklist", "remote_addr": "198.51.100.0/24"}
    if minutes is not None:
        document["expires_at"] = (START + timedelta(minutes=minutes)).isoformat()
    await enforcement.change_rule(RuleChange(id=name, document=document, by="alice"))


async def names(store):
    async with store.read() as unit:
        return [row.id for row in await unit.rules.read_all()]


async def test_ended_rules_go_together_and_others_stay(enforcement, store, wall):
    expiry = enforcement._scheduler._rule_expiry
    for name, minutes in (("first", 5), ("second", 6), ("late", 60), ("endless", None)):
        await add(enforcement, name, minutes)
    assert await expiry.remove_ended() == []
    version = enforcement.version
    wall.now = START + timedelta(minutes=6)
    assert await expiry.remove_ended() == ["first", "second"]
    assert await expiry.remove_ended() == []
    assert sorted(await names(store)) == ["endless", "late"]
    assert enforcement.version == version + 1
    async with store.read() as unit:
        rows = await unit.audit.page(past=None, limit=2)
    assert [(row.action, row.target, row.actor) for row in rows] == [
        ("rule_removed", "second", "system"),
        ("rule_removed", "first", "system"),
    ]
    assert [name for kind, name in enforcement._events.told if kind == "rule_changed"][-2:] == ["first", "second"]


async def test_a_policy_that_waits_to_be_confirmed_is_left_alone(enforcement, store, wall):
    await add(enforcement, "first", 5)
    rules = {"first": {"id": "first", "type": "blacklist", "remote_addr": "198.51.100.0/24"}}
    rules["first"]["expires_at"] = (START + timedelta(minutes=5)).isoformat()
    rules["other"] = {"id": "other", "type": "blacklist", "remote_addr": "203.0.113.7"}
    await enforcement.editor.apply(Application("alice", rules=rules, confirm_within=600))
    wall.now = START + timedelta(minutes=6)
    assert await enforcement._scheduler._rule_expiry.remove_ended() == []
    await enforcement.editor.confirm("alice")
    assert await enforcement._scheduler._rule_expiry.remove_ended() == ["first"]
    assert await names(store) == ["other"]
    await enforcement.editor.stop()
