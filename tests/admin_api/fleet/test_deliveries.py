# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks with several nodes: each event is delivered by one node, and by another one if that one is gone."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.event_hub import EventHub
from admin_api.fleet import deliveries
from admin_api.ports import WebhookAnswer
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.webhooks.dispatcher import WebhookDispatcher
from admin_api.webhooks.schemas import WebhookReplace
from admin_api.webhooks.service import FileWebhook, create_webhook, take_file_webhooks
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.conftest import seen

pytestmark = pytest.mark.asyncio
BOX = SecretBox(bytes(32), WEBHOOKS)
URL = "https://a.test/"


class Receiver:
    """A ``WebhookSender`` for all nodes. It notes who has sent what."""

    def __init__(self):
        self.sent = []
        self.changed = asyncio.Condition()

    def of(self, node):
        receiver = self

        class Sender:
            async def send(self, url, headers, body):
                async with receiver.changed:
                    receiver.sent.append((node, headers["webhook-id"]))
                    receiver.changed.notify_all()
                return WebhookAnswer(204)

        return Sender()

    async def received(self, count):
        async with asyncio.timeout(TIMEOUT), self.changed:
            await self.changed.wait_for(lambda: len(self.sent) >= count)
        return self.sent


async def queue(running, webhook, *kinds):
    async with running.store.write() as unit:
        return await unit.webhooks.enqueue([(webhook, kind, "{}") for kind in kinds])


async def test_each_event_is_delivered_by_the_node_that_has_it_or_by_another_one(run_node, ask, monkeypatch):
    monkeypatch.setattr(deliveries, "INTERVAL", 3600)  # this test looks itself
    one, other = await run_node("n1"), await run_node("n2")
    row, _ = await create_webhook(one.store, BOX, WebhookReplace(url=URL), by="a test")
    receiver = Receiver()
    dispatchers = [
        WebhookDispatcher(running.store, EventHub(), BOX, receiver.of(running.node.settings.name), running.seen)
        for running in (one, other)
    ]
    first = await queue(one, row.id, "a", "b", "c")
    second = await queue(other, row.id, "d")
    wanted = [("n1", delivery) for delivery in first] + [("n2", delivery) for delivery in second]
    try:
        for dispatcher in dispatchers:
            await dispatcher.apply()
        assert sorted(await receiver.received(4)) == sorted(wanted)
        await seen(one, ask, "SELECT 1 FROM webhook_deliveries WHERE state = 'delivered' HAVING count(*) = 4")
        await dispatchers[1].stop()
        left = await queue(other, row.id, "e", "f")
        assert await one.node._deliveries.look() == 0, "its node is alive"
        await other.node.stop()
        assert await one.node._deliveries.look() == 2
        assert await one.node._deliveries.look() == 0
        await dispatchers[0].apply()
        assert sorted((await receiver.received(6))[4:]) == sorted(("n1", delivery) for delivery in left)
    finally:
        for dispatcher in dispatchers:
            await dispatcher.stop()
    assert len({delivery for _, delivery in receiver.sent}) == len(receiver.sent), "none was sent twice"


async def test_a_look_for_what_lost_nodes_left_reads_only_that(run_node, ask, monkeypatch):
    monkeypatch.setattr(deliveries, "INTERVAL", 3600)
    one = await run_node("n1")
    row, _ = await create_webhook(one.store, BOX, WebhookReplace(url=URL), by="a test")
    ask(
        "INSERT INTO webhook_deliveries (id, node, webhook_id, kind, body, state, attempts, created_at)"
        " SELECT to_char(i, 'FM000000'), 'n1', :webhook, 'a', '{}', CASE WHEN i < 9000 THEN 'delivered' ELSE 'pending'"
        " END, 0, now() FROM generate_series(1, 10000) i",
        webhook=row.id,
    )
    ask("ANALYZE webhook_deliveries")
    ask("UPDATE webhook_deliveries SET node = 'gone' WHERE id IN ('009500', '009600', '000005')")
    values = {"own": "n1", "dead_after": 10.0, "most": 1000}
    plan = "\n".join(line for (line,) in ask(f"EXPLAIN {deliveries.TAKE}", **values))
    assert "ix_webhook_deliveries_pending" in plan
    assert "Seq Scan on webhook_deliveries" not in plan
    assert await one.node._deliveries.look() == 2
    assert ask("SELECT id FROM webhook_deliveries WHERE node <> 'n1'") == [("000005",)], "it was delivered"


async def test_nodes_that_start_at_once_add_a_webhook_of_the_configuration_once(run_node, ask):
    nodes = [await run_node("n1"), await run_node("n2")]
    entry = FileWebhook(URL, (), bytes(32))
    await asyncio.gather(*(take_file_webhooks(running.store, BOX, [entry]) for running in nodes))
    assert ask("SELECT url, source FROM webhooks") == [(URL, "file")]
