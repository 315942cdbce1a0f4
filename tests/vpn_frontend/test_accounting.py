# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from vpn_frontend import accounting
from vpn_frontend.accounting import SessionRecorder
from vpn_frontend.gateway import Counters
from vpn_frontend.ports import CloseReason, SessionState, SessionView
from vpn_frontend.testing import MemoryEvents, MemoryJournal


def view(number):
    return SessionView(
        f"session-{number}", "alice", (), ip_address("192.0.2.1"), 1, None, None, datetime.now(UTC),
        SessionState.CONNECTED, "tls", "", "", "", "", Counters(),
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


@pytest.mark.asyncio
async def test_a_journal_that_fails_or_hangs_costs_its_entry_and_is_reported(monkeypatch):
    monkeypatch.setattr(accounting, "DEADLINE", 0.01)
    journal, events = MemoryJournal(), MemoryEvents()
    recorder = SessionRecorder(journal, events)
    recorder.closed(view(1), CloseReason.KILLED)  # never opened: the journal raises
    recorder.opened(view(2))
    recorder.opened(view(3))
    told = journal.opened

    async def opened(of):
        await (asyncio.Event().wait() if of.id == "session-2" else told(of))

    journal.opened = opened
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    task.cancel()
    assert [fields["what"] for fields in events.of("backend_failed")] == ["journal"] * 2
    assert list(journal.open) == ["session-3"]


@pytest.mark.asyncio
async def test_checkpoints_wait_for_nothing_and_the_recorder_says_when_it_is_behind(monkeypatch):
    monkeypatch.setattr(accounting, "MAX_BEHIND", 2)
    journal = MemoryJournal()
    recorder = SessionRecorder(journal, MemoryEvents())
    recorder.opened(view(1))
    assert not recorder.behind
    recorder.opened(view(2))
    assert recorder.behind
    recorder.checkpoint([view(1)])
    task = asyncio.create_task(recorder.run())
    await recorder.drain()
    assert not recorder.behind
    recorder.checkpoint([view(1)])
    recorder.checkpoint([])
    await recorder.drain()
    task.cancel()
    assert sorted(journal.open) == ["session-1", "session-2"]


@pytest.mark.asyncio
async def test_a_storm_is_handed_over_side_by_side_and_in_order(monkeypatch):
    monkeypatch.setattr(accounting, "BATCH", 4)
    begun, gate, full = [], asyncio.Event(), asyncio.Event()

    class SlowJournal(MemoryJournal):
        async def opened(self, view):
            begun.append(view.id)
            if len(begun) == 4:
                full.set()
            await gate.wait()

    recorder = SessionRecorder(SlowJournal(), MemoryEvents())
    for number in range(6):
        recorder.opened(view(number))
    task = asyncio.create_task(recorder.run())
    await full.wait()
    assert begun == [f"session-{number}" for number in range(4)]
    gate.set()
    await recorder.drain()
    task.cancel()
    assert begun == [f"session-{number}" for number in range(6)]
