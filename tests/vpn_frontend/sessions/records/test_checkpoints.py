# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: sessions that have changed each time, all of them now and then, and none while the journal is busy."""

from __future__ import annotations

import pytest

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.sessions.records.checkpoints import ALL_EVERY, INTERVAL, Checkpoints


class CheckpointRecorder:
    def __init__(self):
        self.idle = True
        self.written = []

    def checkpoint(self, views):
        self.written.append([view.user for view in views])


@pytest.fixture
def site(make_lab):
    """A table with three tunnels, and its checkpoints, of which the first has been written."""
    lab, recorder = make_lab(), CheckpointRecorder()
    for user in ("alice", "bob", "carol"):
        lab.tunnel(lab.log_in(user), user=user)
    checkpoints = Checkpoints(lab.live, recorder, lab.now)
    checkpoints.write_due(lab.now + INTERVAL)
    assert recorder.written.pop() == ["alice", "bob", "carol"]
    return lab, recorder, checkpoints


def test_only_sessions_that_changed_are_written(site):
    lab, recorder, checkpoints = site
    alice, bob, _ = (session.gateway_id for session in lab.table._index)
    lab.gateway.move_data(alice, received=1)
    checkpoints.write_due(lab.now + 2 * INTERVAL - 1)
    assert recorder.written == []
    checkpoints.write_due(lab.now + 2 * INTERVAL)
    lab.gateway.move_data(alice, sent=1)
    lab.hang_up(lab.gateway.sessions[bob].connection_id, Cause.PEER_RESET)
    checkpoints.write_due(lab.now + 3 * INTERVAL)
    checkpoints.write_due(lab.now + 4 * INTERVAL)
    assert recorder.written == [["alice"], ["alice", "bob"], []]


def test_all_sessions_are_written_now_and_then(site):
    lab, recorder, checkpoints = site
    for number in range(2, 2 * ALL_EVERY + 1):
        checkpoints.write_due(lab.now + number * INTERVAL)
    everyone = [number for number, users in enumerate(recorder.written, start=2) if users]
    assert everyone == [ALL_EVERY, 2 * ALL_EVERY]


def test_a_checkpoint_waits_for_a_busy_journal_and_loses_nothing(site):
    lab, recorder, checkpoints = site
    lab.gateway.move_data(min(lab.gateway.sessions), received=1)
    recorder.idle = False
    checkpoints.write_due(lab.now + 2 * INTERVAL)
    assert recorder.written == []
    recorder.idle = True
    checkpoints.write_due(lab.now + 2 * INTERVAL + 1)
    assert recorder.written == [["alice"]]
