# SPDX-License-Identifier: GPL-3.0-or-later
"""A helper that hangs delays no block and holds no lock; callers wait a bounded time, and /readyz says so."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.observability.event_catalog import LogEvent
from ocsentry.privileges.packet_filter.follower import BEHIND, IDLE, FilterFollower
from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
from sentry_engine import Engine, Policy
from tests.ocsentry.privileges.packet_filter.test_kernel_filter import Sets


class Helper(Sets):
    """Answers while ``answers`` is set."""

    def __init__(self):
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()
        self.waits = threading.Event()
        self.failure = None

    def _wait(self):
        self.waits.set()
        assert self.answers.wait(TIMEOUT)
        if self.failure is not None:
            raise self.failure

    def open_filter(self):
        self._wait()
        super().open_filter()

    def change_filter(self, remove, add):
        self._wait()
        super().change_filter(remove, add)

    def read_filter(self):
        self._wait()
        return super().read_filter()


class Events(list):
    def emit(self, kind, **fields):
        self.append((kind, fields))

    def kinds(self):
        return [kind for kind, _ in self]


@pytest.fixture
def helper():
    made = Helper()
    yield made
    made.answers.set()


@pytest.fixture
def engine():
    with Engine(Policy()) as made:
        yield made


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - of a thread
            await asyncio.sleep(0.005)


def run(engine, helper, scenario, **settings):
    async def main():
        events = Events()
        follower = FilterFollower(KernelFilter(engine, helper), events, **settings)
        follower.start()
        try:
            await scenario(follower, events)
        finally:
            helper.answers.set()
            await follower.stop()

    asyncio.run(main())


def test_a_lift_has_left_the_kernel_when_the_call_returns(engine, helper):
    async def scenario(follower, events):
        engine.block("192.0.2.1", rule_id="block:1")
        await until(lambda: "192.0.2.1/32" in helper.held)
        engine.unblock("block:1")
        await follower.lift()
        assert helper.held == {}
        assert await follower.check() is None
        assert not events

    run(engine, helper, scenario)


def test_a_helper_that_hangs_is_behind_and_delays_callers_by_a_bounded_time(engine, helper):
    async def scenario(follower, events):
        engine.block("192.0.2.1", rule_id="block:1")
        await until(lambda: "192.0.2.1/32" in helper.held)
        helper.answers.clear()
        engine.unblock("block:1")
        await asyncio.gather(*(follower.lift() for _ in range(100)))  # they share two rounds
        assert helper.held  # the kernel still drops it, and the answer says so
        assert follower.drops("192.0.2.1")
        assert await follower.check() == BEHIND
        assert events.kinds() == [LogEvent.KERNEL_FILTER_BEHIND]
        helper.answers.set()
        await until(lambda: not helper.held)
        await until(lambda: LogEvent.KERNEL_FILTER_RESTORED in events.kinds())
        assert await follower.check() is None

    run(engine, helper, scenario, lift_wait=0.05)


def test_a_fault_of_any_kind_is_told_and_the_follower_goes_on(engine, helper):
    async def scenario(follower, events):
        helper.failure = ValueError("a message is too large")
        engine.block("192.0.2.1", rule_id="block:1")
        await until(lambda: follower._problem is not None)
        assert "a message is too large" in await follower.check()
        helper.failure = None
        await follower.lift()
        await until(lambda: "192.0.2.1/32" in helper.held)
        assert await follower.check() is None

    run(engine, helper, scenario)


@pytest.mark.parametrize(
    ("number", "said"), [(0, BEHIND), (errno.EPIPE, IDLE)], ids=["no answer", "gone, with its table"]
)
def test_a_failure_says_whether_the_kernel_may_still_drop(engine, helper, number, said):
    async def scenario(follower, events):
        engine.block("192.0.2.1", rule_id="block:1")
        await until(lambda: "192.0.2.1/32" in helper.held)
        helper.failure = OSError(number, "the helper fails")
        await follower.lift()
        await until(lambda: follower._problem is not None and (number or follower._is_behind))
        assert await follower.check() == f"the helper fails; {said}"
        assert not follower.drops("192.0.2.1")
        helper.failure = None
        await follower.lift()
        await until(lambda: "192.0.2.1/32" in helper.held)
        assert await follower.check() is None
        assert events.kinds()[-1] == LogEvent.KERNEL_FILTER_RESTORED

    run(engine, helper, scenario, lift_wait=0.2)


@pytest.mark.parametrize("turns", range(5))
def test_a_stop_at_the_moment_of_a_change_ends_the_follower(engine, helper, turns):
    """``turns`` of the event loop after the change: ``wait_for`` of Python 3.11 lost the stop after one."""

    async def scenario(follower, events):
        await until(lambda: follower._wake._waiters)  # it rests
        follower._wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(TIMEOUT):
            await follower.stop()
        assert follower._task.done()

    run(engine, helper, scenario)
