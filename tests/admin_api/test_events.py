# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
import math
from ipaddress import ip_address

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.event_hub import KEPT, MAX_LISTENERS, QUEUE, EventHub, TooManyListenersError
from admin_api.http.identity import Scope
from admin_api.server import ApiServer
from lab.timeouts import TIMEOUT
from vpn_frontend.ports import VpnEvent
from vpn_frontend.settings import Endpoint

pytestmark = pytest.mark.asyncio

URL = "/api/v1/events"


async def take(listener, count):
    """The next ``count`` events."""
    events = listener.events()
    return [await asyncio.wait_for(anext(events), TIMEOUT) for _ in range(count)]


class TestHub:
    async def test_from_now_on_in_order(self):
        hub = EventHub()
        hub.emit("before")
        with hub.listening() as listener:
            for n in range(3):
                hub.emit("tick", n=n)
            assert [(e.kind, e.fields["n"]) for e in await take(listener, 3)] == [("tick", n) for n in range(3)]

    async def test_comes_back_to_where_it_left(self):
        hub = EventHub()
        with hub.listening() as listener:
            hub.emit("one")
            hub.emit("two")
            one, two = await take(listener, 2)
        hub.emit("three")
        with hub.listening(hub.id_of(one)) as listener:
            assert [e.kind for e in await take(listener, 2)] == ["two", "three"]
        assert hub.id_of(two) > hub.id_of(one)

    async def test_away_too_long_is_told_how_much_it_missed(self):
        hub = EventHub()
        with hub.listening() as listener:
            hub.emit("first")
            (first,) = await take(listener, 1)
        for n in range(KEPT + 10):
            hub.emit("tick", n=n)
        with hub.listening(hub.id_of(first)) as listener:
            gap, tick = await take(listener, 2)
        assert (gap.kind, gap.fields) == ("gap", {"missed": 10})
        assert hub.id_of(gap) is None
        assert tick.fields == {"n": 10}

    @pytest.mark.parametrize("last_id", ["1-1", "nonsense", "", "9" * 5000, "-", "1-\u00b2"])
    async def test_id_of_another_process_is_a_gap(self, last_id):
        hub = EventHub()
        hub.emit("kept")
        with hub.listening(last_id) as listener:
            gap, kept = await take(listener, 2)
        assert (gap.kind, gap.fields) == ("gap", {"missed": None})
        assert kept.kind == "kept"

    async def test_slow_listener_loses_the_oldest_and_knows(self):
        hub = EventHub()
        with hub.listening() as slow:
            for n in range(QUEUE + 5):
                hub.emit("tick", n=n)
            gap, tick = await take(slow, 2)
        assert gap.fields == {"missed": 5}
        assert tick.fields == {"n": 5}
        assert hub.dropped == 5

    async def test_listeners_are_bounded_and_forgotten(self):
        hub = EventHub()
        contexts = [hub.listening() for _ in range(MAX_LISTENERS)]
        for context in contexts:
            context.__enter__()
        with pytest.raises(TooManyListenersError), hub.listening():
            pass
        for context in contexts:
            context.__exit__(None, None, None)
        with hub.listening():
            pass

    async def test_close_ends_the_streams(self):
        hub = EventHub()
        with hub.listening() as listener:
            hub.emit("last")
            hub.close()
            assert [event.kind async for event in listener.events()] == ["last"]
        with hub.listening() as late:
            assert [event async for event in late.events()] == []


@pytest_asyncio.fixture
async def port(services):
    api = ApiServer(create_app(services), services, listen=Endpoint(ip_address("127.0.0.1"), 0), socket_path=None)
    await api.start()
    yield api.port
    await api.stop()


class TestStream:
    async def test_access(self, server):
        assert (await server.anonymous.get(URL)).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get(URL)).status_code == 403

    async def test_events_arrive_and_resume(self, server, port):
        headers = {"Authorization": f"Bearer {server.token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=TIMEOUT) as client:
            async with client.stream("GET", URL) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                await client.post("/api/v1/blocks", json={"cidr": "198.51.100.0/24", "reason": "why"})
                server.services.events.emit(
                    "strange", address=ip_address("192.0.2.1"), deep=[{"a": {1, 2}}], text="a\nb"
                )
                block, strange = await read_events(answer, 2)
            assert block["event"] == "block_added"
            assert block["data"]["fields"]["cidr"] == "198.51.100.0/24"
            assert strange["data"]["fields"] == {"address": "192.0.2.1", "deep": [{"a": [1, 2]}], "text": "a\nb"}
            async with client.stream("GET", URL, headers={"Last-Event-ID": block["id"]}) as answer:
                (again,) = await read_events(answer, 1)
            assert again["id"] == strange["id"]
        assert server.services.events.dropped == 0

    async def test_ends_with_what_has_happened_where_nobody_follows(self, server):
        server.services.events.emit("one")
        server.services.events.emit("two")
        answer = await server.client.get(URL, params={"follow": False}, headers={"Last-Event-ID": "all"})
        kinds = [line for line in answer.text.splitlines() if line.startswith("event:")]
        assert (kinds[0], kinds[-2:]) == ("event: gap", ["event: one", "event: two"])
        assert (await server.client.get(URL, params={"follow": False})).text == ""

    async def test_too_many_listeners(self, server):
        hub = server.services.events
        contexts = [hub.listening() for _ in range(MAX_LISTENERS)]
        for context in contexts:
            context.__enter__()
        answer = await server.client.get(URL)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        for context in contexts:
            context.__exit__(None, None, None)


async def read_events(answer, count):
    """The first ``count`` events of a stream, as dictionaries with their data parsed."""
    events, fields = [], {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            events.append(fields | {"data": json.loads(fields["data"])})
        fields = {}
        if len(events) == count:
            return events
    raise AssertionError("the stream ended")


class TestDecisions:
    URL = "/api/v1/decisions"

    async def test_access(self, server):
        assert (await server.anonymous.get(self.URL)).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get(self.URL)).status_code == 403

    async def test_newest_first(self, server):
        hub = server.services.events
        hub.emit(VpnEvent.LOGIN_REFUSED, user="alice", address="198.51.100.7", reason="password", final=False)
        hub.emit(VpnEvent.SESSION_ROAMED, session="s")
        hub.emit(VpnEvent.LOGIN_ACCEPTED, user="alice", address="198.51.100.7", user_agent="x")
        items = (await server.client.get(self.URL)).json()["items"]
        assert [item["kind"] for item in items] == ["login_accepted", "login_refused"]
        assert len((await server.client.get(self.URL, params={"limit": 1})).json()["items"]) == 1

    async def test_of_one_source_user_or_kind(self, server):
        for address, user, verdict in (("192.0.2.1", "alice", "accept"), ("192.0.2.2", "bob", "reject")):
            fields = {"address": ip_address(address), "user": user, "verdict": verdict, "retry_after": math.inf}
            server.services.events.emit("decision", **fields)

        async def users(**params):
            items = (await server.client.get(self.URL, params=params)).json()["items"]
            return [item["fields"]["user"] for item in items]

        assert await users() == ["bob", "alice"]
        assert await users(address="192.0.2.1") == ["alice"]
        assert await users(user="bob") == ["bob"]
        assert await users(verdict="accept") == ["alice"]
        assert await users(verdict="accept", user="bob") == []
        assert (await server.client.get(self.URL, params={"verdict": "perhaps"})).status_code == 422
