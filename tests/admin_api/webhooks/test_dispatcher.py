# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries: what is queued, sent, repeated and given up. The receivers are fakes; the store is real."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from admin_api.clock import Clock
from admin_api.event_hub import EventHub
from admin_api.ports import WebhookAnswer
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.store import Store
from admin_api.webhooks import collector
from admin_api.webhooks.attempts import DELAYS, MAX_ATTEMPTS
from admin_api.webhooks.collector import wants
from admin_api.webhooks.dispatcher import WebhookDispatcher
from admin_api.webhooks.schemas import WebhookReplace
from admin_api.webhooks.service import FileWebhook, create_webhook, queue_test, take_file_webhooks
from admin_api.webhooks.signature import sign
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio
BOX = SecretBox(bytes(32), WEBHOOKS)


class Receivers:
    """A ``WebhookSender``. ``answers``: by URL, taken one after the other; the last one stays."""

    def __init__(self):
        self.answers = {}
        self.sent = []
        self.changed = asyncio.Condition()

    async def send(self, url, headers, body):
        answers = self.answers.get(url, [204])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        async with self.changed:
            self.sent.append((url, headers, body))
            self.changed.notify_all()
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = 204
        if isinstance(answer, OSError):
            raise answer
        return WebhookAnswer(answer)

    async def await_sent(self, count, url=None):
        def found():
            return [one for one in self.sent if url in (None, one[0])]

        async with asyncio.timeout(TIMEOUT), self.changed:
            await self.changed.wait_for(lambda: len(found()) >= count)
        return found()


class Events:
    def __init__(self):
        self.seen = asyncio.Queue()

    def emit(self, kind, **fields):
        self.seen.put_nowait((str(kind), fields))

    async def next(self):
        async with asyncio.timeout(TIMEOUT):
            return await self.seen.get()


class Time:
    def __init__(self):
        self.now = datetime(2030, 1, 2, tzinfo=UTC)

    def wall(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest_asyncio.fixture
async def store(store_url, time):
    opened = await Store.open(store_url, clock=Clock(wall=time.wall))
    yield opened
    await opened.close()


class Running:
    def __init__(self, store, time):
        self.store, self.time = store, time
        self.hub, self.receivers, self.events = EventHub(store.clock), Receivers(), Events()
        self.dispatcher = self.make()

    def make(self):
        return WebhookDispatcher(self.store, self.hub, BOX, self.receivers, self.events, chance=lambda: 0.5)

    async def add(self, url="https://a.test/", **more):
        row, secret = await create_webhook(self.store, BOX, WebhookReplace(url=url, **more), by="a test")
        await self.dispatcher.apply()
        return row.id, secret

    async def deliveries(self, webhook_id):
        async with self.store.read() as unit:
            return await unit.webhooks.page(webhook_id, past=None, limit=100)

    async def await_deliveries(self, webhook_id, good):
        async with asyncio.timeout(TIMEOUT):
            while not good(rows := await self.deliveries(webhook_id)):  # noqa: ASYNC110 - another task writes them
                await asyncio.sleep(0.01)
        return rows

    async def pass_time(self, seconds):
        self.time.now += timedelta(seconds=seconds)
        await self.dispatcher.apply()


@pytest_asyncio.fixture
async def running(store, time):
    running = Running(store, time)
    yield running
    await running.dispatcher.stop()


class TestDelivery:
    async def test_an_event_arrives_signed(self, running):
        name, secret = await running.add()
        running.hub.emit("block_added", id="b", cidr="198.51.100.0/24", reason="x", by="y", sessions_cut=2)
        ((url, headers, body),) = await running.receivers.await_sent(1)
        assert url == "https://a.test/"
        assert json.loads(body)["type"] == "block_added"
        assert json.loads(body)["data"]["cidr"] == "198.51.100.0/24"
        assert headers == sign(secret, headers["webhook-id"], int(running.time.now.timestamp()), body)
        (row,) = await running.await_deliveries(name, lambda rows: rows[0].state == "delivered")
        assert (row.id, row.attempts, row.status, row.error) == (headers["webhook-id"], 1, 204, None)

    async def test_only_the_wanted_kinds(self, running):
        await running.add("https://a.test/", kinds=["login_refused"])
        await running.add("https://b.test/")
        running.hub.emit("decision", verdict="reject")
        running.hub.emit("block_expired", id="1")
        running.hub.emit("login_refused", user="al")
        assert len(await running.receivers.await_sent(1, "https://a.test/")) == 1
        sent = await running.receivers.await_sent(2, "https://b.test/")
        assert [json.loads(body)["type"] for _, _, body in sent] == ["block_expired", "login_refused"]
        ((_, _, body),) = await running.receivers.await_sent(1, "https://a.test/")
        assert json.loads(body)["type"] == "login_refused"

    async def test_a_slow_receiver_makes_no_other_one_wait(self, running):
        held = asyncio.Event()
        running.receivers.answers["https://slow.test/"] = [held]
        slow, _ = await running.add("https://slow.test/")
        await running.add("https://fast.test/")
        for number in range(5):
            running.hub.emit("block_expired", id=str(number))
        assert len(await running.receivers.await_sent(5, "https://fast.test/")) == 5
        assert len(await running.receivers.await_sent(1, "https://slow.test/")) == 1
        assert len(await running.deliveries(slow)) == 5
        held.set()
        assert len(await running.receivers.await_sent(5, "https://slow.test/")) == 5

    async def test_a_test_goes_before_all_that_wait(self, running):
        row, _ = await create_webhook(running.store, BOX, WebhookReplace(url="https://a.test/"), by="a test")
        async with running.store.write() as unit:
            await unit.webhooks.enqueue([(row.id, "ready", '{"type": "ready"}')])
        await queue_test(running.store, row.id, by="a test")
        await running.dispatcher.apply()
        sent = await running.receivers.await_sent(2)
        assert [json.loads(body)["type"] for _, _, body in sent] == ["webhook_test", "ready"]


class TestFailures:
    async def test_a_failure_is_repeated_with_the_same_id_and_then_delivered(self, running):
        running.receivers.answers["https://a.test/"] = [500, OSError("refused"), 204]
        name, _ = await running.add()
        running.hub.emit("block_expired", id="1")
        for attempt in (1, 2):
            (row,) = await running.await_deliveries(name, lambda rows, n=attempt: rows and rows[0].attempts == n)
            assert row.state == "pending"
            assert row.next_at == running.time.now + timedelta(seconds=DELAYS[attempt - 1])
            await running.pass_time(DELAYS[attempt - 1])
        (row,) = await running.await_deliveries(name, lambda rows: rows[0].state == "delivered")
        sent = await running.receivers.await_sent(3)
        assert {headers["webhook-id"] for _, headers, _ in sent} == {row.id}
        assert len({headers["webhook-signature"] for _, headers, _ in sent}) == 3  # each attempt has its own time

    async def test_it_is_given_up_after_the_last_attempt(self, running):
        running.receivers.answers["https://a.test/"] = [OSError("refused")]
        name, _ = await running.add()
        running.hub.emit("block_expired", id="1")
        for attempt in range(1, MAX_ATTEMPTS + 1):
            (row,) = await running.await_deliveries(name, lambda rows, n=attempt: rows and rows[0].attempts == n)
            await running.pass_time(24 * 3600)
        assert (row.state, row.next_at, row.error) == ("dead", None, "refused")
        kind, fields = await running.events.next()
        assert (kind, fields["delivery"], fields["error"]) == ("webhook_delivery_dead", row.id, "refused")

    async def test_a_receiver_that_is_gone_gets_no_more(self, running):
        running.receivers.answers["https://a.test/"] = [410]
        name, _ = await running.add()
        running.hub.emit("block_expired", id="1")
        assert [(await running.events.next())[0] for _ in range(2)] == ["webhook_delivery_dead", "webhook_disabled"]
        async with running.store.read() as unit:
            row = await unit.webhooks.get(name)
        assert (row.enabled, row.disabled_reason) == (False, "the receiver answered 410 (Gone)")
        running.hub.emit("block_expired", id="2")
        await running.add("https://b.test/")
        running.hub.emit("block_expired", id="3")
        await running.receivers.await_sent(1, "https://b.test/")
        assert len(running.receivers.sent) == len(await running.receivers.await_sent(1, "https://a.test/")) + len(
            await running.receivers.await_sent(1, "https://b.test/")
        )
        assert len(await running.receivers.await_sent(1, "https://a.test/")) == 1

    async def test_what_waits_is_delivered_after_a_restart(self, running):
        running.receivers.answers["https://a.test/"] = [asyncio.Event(), 204]
        name, _ = await running.add()
        running.hub.emit("block_expired", id="1")
        await running.receivers.await_sent(1)  # and no answer: the process ends
        await running.dispatcher.stop()
        running.dispatcher = running.make()
        await running.dispatcher.apply()
        sent = await running.receivers.await_sent(2)
        assert sent[0][1]["webhook-id"] == sent[1][1]["webhook-id"]
        await running.await_deliveries(name, lambda rows: rows[0].state == "delivered")

    async def test_a_secret_of_another_key_is_told(self, running):
        name, _ = await running.add()
        async with running.store.write() as unit:
            row = await unit.webhooks.get(name)
            row.sealed_secret = SecretBox(bytes([1] * 32), WEBHOOKS).seal(b"x" * 32, name)
        running.hub.emit("block_expired", id="1")
        (row,) = await running.await_deliveries(name, lambda rows: rows and rows[0].attempts == 1)
        assert "auth.totp.key_file" in row.error
        assert running.receivers.sent == []


class TestBounds:
    async def test_a_full_queue_drops_new_events_and_tells_it_once(self, running, monkeypatch):
        monkeypatch.setattr(collector, "MAX_PENDING", 2)
        running.receivers.answers["https://a.test/"] = [asyncio.Event()]
        name, _ = await running.add()
        for number in range(5):
            running.hub.emit("block_expired", id=str(number))
        kind, fields = await running.events.next()
        assert (kind, fields["webhook"]) == ("webhook_queue_full", name)
        assert len(await running.await_deliveries(name, lambda rows: len(rows) >= 2)) == 2

    async def test_an_event_that_cannot_be_queued_stops_no_other_one(self, running, monkeypatch):
        render = collector.render_body

        def fail_once(event):
            if event.fields["id"] == "bad":
                raise ValueError("no JSON")
            return render(event)

        monkeypatch.setattr(collector, "render_body", fail_once)
        await running.add()
        running.hub.emit("block_expired", id="bad")
        assert (await running.events.next())[0] == "backend_failed"
        running.hub.emit("block_expired", id="good")
        ((_, _, body),) = await running.receivers.await_sent(1)
        assert json.loads(body)["data"] == {"id": "good"}

    async def test_a_store_that_is_away_loses_nothing(self, running, monkeypatch):
        monkeypatch.setattr(collector, "STORE_PAUSE", 0.0)
        failures = [OperationalError("INSERT", {}, Exception("database is locked"))] * 3
        write = running.store.write

        def failing():
            if failures:
                raise failures.pop()
            return write()

        await running.add()
        monkeypatch.setattr(running.store, "write", failing)
        running.hub.emit("block_expired", id="1")
        assert len(await running.receivers.await_sent(1)) == 1
        assert failures == []

    async def test_its_own_events_are_never_sent(self):
        for kind in ("webhook_delivery_dead", "webhook_disabled", "webhook_queue_full"):
            assert not wants([], kind)
            assert not wants([kind], kind)
        assert wants([], "gap")
        assert wants(["ready"], "gap")
        assert wants(["decision"], "decision")
        assert not wants([], "decision")


class TestFileWebhooks:
    async def test_they_follow_the_configuration(self, running):
        async def rows():
            async with running.store.read() as unit:
                return {row.url: row for row in await unit.webhooks.read_all()}

        own, _ = await running.add("https://own.test/")
        first = FileWebhook("https://a.test/", ("ready",), b"a" * 32)
        await take_file_webhooks(running.store, BOX, [first, FileWebhook("https://b.test/", (), b"b" * 32)])
        before = await rows()
        assert {row.source for row in before.values()} == {"api", "file"}
        assert BOX.open(before["https://a.test/"].sealed_secret, before["https://a.test/"].id) == b"a" * 32
        await take_file_webhooks(running.store, BOX, [FileWebhook("https://a.test/", (), b"c" * 32)])
        after = await rows()
        assert set(after) == {"https://own.test/", "https://a.test/"}
        assert after["https://a.test/"].id == before["https://a.test/"].id
        assert after["https://a.test/"].kinds == []
        assert BOX.open(after["https://a.test/"].sealed_secret, after["https://a.test/"].id) == b"c" * 32
        assert after["https://own.test/"].id == own
