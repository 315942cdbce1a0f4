# SPDX-License-Identifier: GPL-3.0-or-later
"""The event hub: order, reconnects, gaps and bounds."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.event_hub import KEPT, MAX_LISTENERS, QUEUE, EventHub, TooManyListenersError
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio


async def take(listener, count):
    """The next ``count`` events."""
    events = listener.events()
    return [await asyncio.wait_for(anext(events), TIMEOUT) for _ in range(count)]


class TestHub:
    async def test_new_events_arrive_in_order(self):
        hub = EventHub()
        hub.emit("before")
        with hub.listening() as listener:
            for n in range(3):
                hub.emit("tick", n=n)
            assert [(e.kind, e.fields["n"]) for e in await take(listener, 3)] == [("tick", n) for n in range(3)]

    async def test_resumes_after_the_last_id(self):
        hub = EventHub()
        with hub.listening() as listener:
            hub.emit("one")
            hub.emit("two")
            one, two = await take(listener, 2)
        hub.emit("three")
        with hub.listening(hub.id_of(one)) as listener:
            assert [e.kind for e in await take(listener, 2)] == ["two", "three"]
        assert hub.id_of(two) > hub.id_of(one)

    async def test_a_late_reconnect_gets_the_number_of_missed_events(self):
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

    async def test_a_slow_reader_is_told_of_a_gap_before_what_follows_it(self):
        hub = EventHub()
        with hub.listening() as listener:
            events = listener.events()
            for n in range(10):
                hub.emit("tick", n=n)
            assert (await anext(events)).fields == {"n": 0}  # the reader stops here, inside the queue
            for n in range(10, QUEUE + 15):
                hub.emit("tick", n=n)
            gap, after = await anext(events), await anext(events)
            assert (gap.kind, gap.fields) == ("gap", {"missed": 14})
            assert after.fields == {"n": 15}

    async def test_an_id_of_the_future_is_a_gap(self):
        hub = EventHub()
        with hub.listening() as listener:
            hub.emit("kept")
            (kept,) = await take(listener, 1)
        boot = hub.id_of(kept).partition("-")[0]
        with hub.listening(f"{boot}-999999") as listener:
            gap, kept = await take(listener, 2)
        assert (gap.fields, kept.kind) == ({"missed": None}, "kept")

    @pytest.mark.parametrize("last_id", ["1-1", "nonsense", "", "9" * 5000, "-", "1-\u00b2"])
    async def test_id_of_another_process_is_a_gap(self, last_id):
        hub = EventHub()
        hub.emit("kept")
        with hub.listening(last_id) as listener:
            gap, kept = await take(listener, 2)
        assert (gap.kind, gap.fields) == ("gap", {"missed": None})
        assert kept.kind == "kept"

    async def test_slow_listener_loses_the_oldest_and_gets_a_gap(self):
        hub = EventHub()
        with hub.listening() as slow:
            for n in range(QUEUE + 5):
                hub.emit("tick", n=n)
            gap, tick = await take(slow, 2)
        assert gap.fields == {"missed": 5}
        assert tick.fields == {"n": 5}
        assert hub.dropped == 5

    async def test_listeners_are_bounded_and_removed(self):
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
