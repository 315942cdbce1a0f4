# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, SessionState, SessionView
from vpn_frontend.sessions.records import recorder as recorder_module
from vpn_frontend.sessions.records.recorder import SessionRecorder
from vpn_frontend.testing import MemoryEvents, MemoryJournal


def view(number):
    return SessionView(
        f"session-{number}", "alice", (), ip_address("192.0.2.1"), 1, None, None, datetime.now(UTC),
        datetime.now(UTC),        SessionState.CONNECTED, "tls", "", "", "", "", Counters(),
    )  # fmt: skip


@pytest.mark.asyncio
async def test_entries_are_written_in_their_order():
    journal, events = MemoryJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    for number in range(3):
        recorder.opened(view(number))
        recorder.closed(view(number), CloseReason.KILLED)
    recorder.opened(view(9))
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert list(journal.ended) == ["session-0", "session-1", "session-2"]
    assert list(journal.open) == ["session-9"]
    assert events.seen == []


@dataclass
class Draft:
    """Of a session that can be kept, unless ``error`` says why not."""

    text: str = "kept"
    error: Exception | None = None
    rendered: int = 0

    def render(self):
        self.rendered += 1
        if self.error is not None:
            raise self.error
        return self.text


@pytest.mark.asyncio
async def test_a_draft_is_rendered_with_its_batch_and_only_for_a_session_that_lives_on():
    journal, events = MemoryJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    short, long, moved = Draft(), Draft(), Draft("moved")
    recorder.opened(view(0), short)
    recorder.opened(view(1), long)
    recorder.closed(view(0), CloseReason.KILLED)
    recorder.changed(view(1), moved)
    assert (short.rendered, long.rendered) == (0, 0)
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert (short.rendered, long.rendered) == (0, 1)
    assert journal.resumptions == {"session-1": "moved"}


@pytest.mark.asyncio
async def test_a_session_that_cannot_be_kept_is_in_the_journal_all_the_same():
    journal, events = MemoryJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    recorder.opened(view(0), Draft(error=TypeError("of a strange type")))
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert (list(journal.open), journal.resumptions) == (["session-0"], {})
    assert "strange type" in events.of("backend_failed")[0]["error"]


@pytest.mark.asyncio
async def test_a_journal_that_hangs_is_asked_again_and_one_that_refuses_an_entry_costs_that_entry(monkeypatch):
    monkeypatch.setattr(recorder_module, "DEADLINE", 0.01)
    hangs = iter([True, False])

    class HangingJournal(MemoryJournal):
        async def record(self, entries):
            if next(hangs):
                await asyncio.Event().wait()
            return await super().record(entries)

    journal, events = HangingJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    recorder.closed(view(1), CloseReason.KILLED)  # never opened: the journal refuses it
    recorder.opened(view(2))
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert ["KeyError" in fields["error"] for fields in events.of("backend_failed")] == [False, True]
    assert list(journal.open) == ["session-2"]


@pytest.mark.asyncio
async def test_a_journal_that_never_works_stops_nobody(monkeypatch):
    calls = []

    class DeadJournal(MemoryJournal):
        async def record(self, entries):
            calls.append([entry.view.id for entry in entries])
            if calls[-1] == ["session-1"]:
                raise OSError("disk full")
            return await super().record(entries)

    journal, events = DeadJournal(), MemoryEvents()
    monkeypatch.setattr(recorder_module, "BATCH", 1)
    recorder = SessionRecorder(journal, events)
    for number in (1, 2):
        recorder.opened(view(number))
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert calls == [["session-1"]] * recorder_module.ATTEMPTS + [["session-2"]]
    assert len(events.of("backend_failed")) == recorder_module.ATTEMPTS
    assert list(journal.open) == ["session-2"]


@pytest.mark.asyncio
async def test_a_batch_is_kept_until_the_journal_works_again(monkeypatch):
    monkeypatch.setattr(recorder_module, "RETRY", 0)
    failures, written = 20, asyncio.Event()

    class LockedJournal(MemoryJournal):
        async def record(self, entries):
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError("database is locked")
            left_out = await super().record(entries)
            written.set()
            return left_out

    journal, events = LockedJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    recorder.opened(view(1))
    task = asyncio.create_task(recorder.run())
    await asyncio.wait_for(written.wait(), TIMEOUT)
    task.cancel()
    assert list(journal.open) == ["session-1"]
    assert len(events.of("backend_failed")) == 20


@pytest.mark.asyncio
async def test_checkpoints_wait_for_nothing_and_the_recorder_says_when_it_is_behind(monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_BEHIND", 2)
    journal = MemoryJournal()
    recorder = SessionRecorder(journal, MemoryEvents())
    recorder.opened(view(1))
    assert not recorder.behind
    recorder.opened(view(2))
    assert recorder.behind
    recorder.checkpoint([replace(view(1), port=6)])
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    assert not recorder.behind
    recorder.checkpoint([replace(view(1), port=7)])
    recorder.checkpoint([])
    await recorder.drain()
    task.cancel()
    assert [journal.open[f"session-{number}"].port for number in (1, 2)] == [7, 1]


@pytest.mark.asyncio
async def test_what_comes_while_a_batch_is_written_goes_together_and_in_order(monkeypatch):
    monkeypatch.setattr(recorder_module, "BATCH", 4)
    batches, begun, gate = [], asyncio.Event(), asyncio.Event()

    class SlowJournal(MemoryJournal):
        async def record(self, entries):
            batches.append([entry.view.id for entry in entries])
            begun.set()
            await gate.wait()
            return await super().record(entries)

    recorder = SessionRecorder(SlowJournal(), MemoryEvents())
    recorder.opened(view(0))
    task = asyncio.create_task(recorder.run())
    await begun.wait()
    for number in range(1, 7):
        recorder.opened(view(number))
    gate.set()
    await recorder.drain()
    task.cancel()
    names = [f"session-{number}" for number in range(7)]
    assert batches == [names[:1], names[1:5], names[5:]]
