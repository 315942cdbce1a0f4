# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of webhooks, and overrides of settings, in the store."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytest_asyncio

from admin_api.store.webhooks import DeliveryState, Outcome

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def webhook(store):
    async with store.write() as unit:
        row = await unit.webhooks.add("w1", "https://a.test/", kinds=["ready"], sealed_secret=b"\x00\xff", by="a test")
    return row.id


async def enqueue(store, *bodies, first=False):
    async with store.write() as unit:
        return await unit.webhooks.enqueue([("w1", "ready", body) for body in bodies], first=first)


async def test_a_webhook_is_what_was_added(store, webhook):
    async with store.read() as unit:
        row = await unit.webhooks.get(webhook)
    assert (row.kinds, row.sealed_secret, row.enabled, row.source, row.version) == (
        ["ready"], b"\x00\xff", True, "api", 1
    )  # fmt: skip


async def test_what_is_due_comes_in_its_order(store, webhook):
    one, two = await enqueue(store, "1", "2")
    (test,) = await enqueue(store, "t", first=True)
    async with store.read() as unit:
        assert [row.id for row in await unit.webhooks.due(webhook, 10)] == [test, one, two]
        assert [row.id for row in await unit.webhooks.due(webhook, 1)] == [test]
        assert await unit.webhooks.count_pending(webhook) == 3


async def test_outcomes(store, webhook):
    one, two, three = await enqueue(store, "1", "2", "3")
    later = store.clock.wall() + timedelta(hours=1)
    async with store.write() as unit:
        await unit.webhooks.note_outcomes(
            [
                Outcome(one, True, 1, status=204),
                Outcome(two, False, 1, next_at=later, status=500, error="answered 500"),
                Outcome(three, False, 10, error="refused"),
                Outcome("gone", True, 1),
            ]
        )
    async with store.read() as unit:
        rows = {row.id: row for row in await unit.webhooks.page(webhook, past=None, limit=10)}
        assert [rows[name].state for name in (one, two, three)] == ["delivered", "pending", "dead"]
        assert rows[two].next_at == later == await unit.webhooks.next_time(webhook)
        assert rows[one].finished_at is not None
        assert rows[two].finished_at is None
        assert await unit.webhooks.due(webhook, 10) == []
        assert await unit.webhooks.count_states() == {(webhook, state.value): 1 for state in DeliveryState}
        dead = await unit.webhooks.page(webhook, past=None, limit=10, state=DeliveryState.DEAD)
    assert [row.error for row in dead] == ["refused"]


async def test_only_the_latest_that_have_ended_are_kept(store, webhook):
    ids = await enqueue(store, *map(str, range(6)))
    async with store.write() as unit:
        await unit.webhooks.note_outcomes([Outcome(name, True, 1) for name in ids[1:]])
        await unit.webhooks.forget_ended(webhook, 2)
    async with store.read() as unit:
        left = [row.id for row in await unit.webhooks.page(webhook, past=None, limit=10)]
    assert left == [ids[5], ids[4], ids[0]]  # the first one waits


async def test_a_removed_webhook_takes_its_queue_along(store, webhook):
    await enqueue(store, "1")
    async with store.write() as unit:
        await unit.webhooks.remove(await unit.webhooks.get(webhook))
    async with store.read() as unit:
        assert await unit.webhooks.count_states() == {}
        assert await unit.webhooks.read_all() == []


async def test_settings_are_replaced_and_removed_by_key(store):
    async with store.write() as unit:
        await unit.settings.change({"a": 1, "b": ["x"], "c": "text", "d": True}, "one")
    async with store.write() as unit:
        await unit.settings.change({"a": 2, "b": None, "absent": None}, "two")
    async with store.read() as unit:
        rows = {row.key: (row.value, row.changed_by) for row in await unit.settings.read_all()}
    assert rows == {"a": (2, "two"), "c": ("text", "one"), "d": (True, "one")}
