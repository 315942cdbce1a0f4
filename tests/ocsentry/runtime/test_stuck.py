# SPDX-License-Identifier: GPL-3.0-or-later
"""A real server of which one thread is halted ends with an error, so that the service manager starts it again.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import contextlib
import json

import pytest

from lab.processes.stopped_thread import stopped_thread, thread_of
from lab.timeouts import TIMEOUT
from tests.ocsentry.served import Served, links, serving

pytestmark = pytest.mark.netns


class Watched(Served):
    """With systemd's watchdog of 10 s, which is told twice as often."""

    def __init__(self, command_line, name):
        command_line.environment["WATCHDOG_USEC"] = "10000000"
        super().__init__(command_line, name)


@pytest.fixture
def served(command_line, namespace):
    with serving(Watched(command_line, namespace)) as server:
        yield server


def events(served):
    return [json.loads(line)["event"] for line in served.lines if line.startswith("{")]


def test_a_stuck_worker_is_noticed_and_ends_the_server(served, namespace):
    assert served.told().startswith("READY=1")
    with stopped_thread(served.process.pid, thread_of(served.process.pid, "gateway-1")):
        assert served.await_event("worker_stuck")["workers"] == [1]
        assert "stuck: 1" in served.await_event("stopping")["reason"]
        served.await_event("loop_stuck")  # it waited for the worker; not for ever
    assert served.process.wait(TIMEOUT) == 1
    served._reader.join(TIMEOUT)
    assert events(served)[-1] == "loop_stuck"
    assert "ocs0" not in links(namespace)
    served.notify.setblocking(False)
    told = []
    with contextlib.suppress(BlockingIOError):
        while True:
            told.append(served.told())
    assert set(told) == {"WATCHDOG=1", "STOPPING=1"}
    assert told[-1] == "STOPPING=1"


def test_a_stuck_event_loop_is_noticed_and_ends_the_process(served, namespace):
    assert served.told().startswith("READY=1")
    with stopped_thread(served.process.pid, served.process.pid):
        served.await_event("loop_stuck")
    assert served.process.wait(TIMEOUT) == 1
    assert "ocs0" not in links(namespace)
