# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hook runs when: one user's slow hooks delay nobody else's, and those of a session keep their order."""

import asyncio

import pytest

from ocsentry.privileges.hooks import runner as runner_module
from ocsentry.privileges.hooks.client import HookResult
from ocsentry.privileges.hooks.runner import MAX_OF_USER, HookRunner
from vpn_frontend.testing import MemoryEvents

ALL = ("connect", "disconnect", "host_update")


class HeldPrograms:
    """Programs that run until they are let go, by session."""

    def __init__(self):
        self.started = []
        self._held = {}

    async def run_program(self, program, environment):
        session = environment["ID"]
        self.started.append((program, session))
        self._held[program, session] = held = asyncio.get_running_loop().create_future()
        return await held

    async def let_go(self, program, session, problem=""):
        self._held.pop((program, session)).set_result(HookResult(problem, "output"))
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def programs():
    return HeldPrograms()


@pytest.fixture
def events():
    return MemoryEvents()


@pytest.fixture
def runner(programs, events):
    return HookRunner(programs, ALL, events)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_connect_hook_decides(runner, programs, events):
    asking = asyncio.create_task(runner.connect("s1", "alice", {"ID": "s1"}))
    await settle()
    await programs.let_go("connect", "s1")
    assert await asking is True
    asking = asyncio.create_task(runner.connect("s2", "alice", {"ID": "s2"}))
    await settle()
    await programs.let_go("connect", "s2", "exit code 1")
    assert await asking is False
    [(kind, fields)] = events.seen
    assert (kind, fields["session"], fields["problem"]) == ("hook_failed", "s2", "exit code 1")


@pytest.mark.asyncio
async def test_hooks_of_a_session_run_one_after_the_other(runner, programs):
    asking = asyncio.create_task(runner.connect("s1", "alice", {"ID": "s1"}))
    await settle()
    asking.cancel()  # its client has left; the program runs on
    await settle()
    runner.disconnect("s1", "alice", {"ID": "s1"})
    await settle()
    assert programs.started == [("connect", "s1")]
    await programs.let_go("connect", "s1")
    assert programs.started == [("connect", "s1"), ("disconnect", "s1")]
    await programs.let_go("disconnect", "s1")
    await asyncio.wait_for(runner.drain(), 5)


@pytest.mark.asyncio
async def test_a_user_with_slow_hooks_delays_only_itself(runner, programs):
    for number in range(100):
        runner.disconnect(f"slow{number}", "mallory", {"ID": f"slow{number}"})
    runner.disconnect("s1", "alice", {"ID": "s1"})
    await settle()
    assert programs.started == [*(("disconnect", f"slow{n}") for n in range(MAX_OF_USER)), ("disconnect", "s1")]
    await programs.let_go("disconnect", "slow0")
    assert programs.started[-1] == ("disconnect", f"slow{MAX_OF_USER}")


@pytest.mark.asyncio
async def test_the_number_at_once_and_waiting_is_bounded(programs, events, monkeypatch):
    monkeypatch.setattr(runner_module, "MAX_PROCESSES", 3)
    monkeypatch.setattr(runner_module, "MAX_WAITING", 2)
    runner = HookRunner(programs, ALL, events)
    for number in range(6):
        runner.disconnect(f"s{number}", f"user{number}", {"ID": f"s{number}"})
    await settle()
    assert len(programs.started) == 3
    assert [fields["problem"] for _, fields in events.seen] == ["too many hooks wait"]
    await programs.let_go("disconnect", "s1")
    assert programs.started[-1] == ("disconnect", "s3")


@pytest.mark.asyncio
async def test_a_user_with_too_many_hooks_makes_none_of_another_fail(programs, events, monkeypatch):
    monkeypatch.setattr(runner_module, "MAX_PROCESSES", 3)
    monkeypatch.setattr(runner_module, "MAX_WAITING", 4)
    runner = HookRunner(programs, ALL, events)
    for number in range(10):
        runner.disconnect(f"m{number}", "mallory", {"ID": f"m{number}"})
    runner.disconnect("s1", "alice", {"ID": "s1"})
    asking = asyncio.create_task(runner.connect("s2", "bob", {"ID": "s2"}))
    await settle()
    assert programs.started == [("disconnect", "m0"), ("disconnect", "m1"), ("disconnect", "s1")]
    assert [(fields["session"], fields["problem"]) for _, fields in events.seen] == [
        (f"m{number}", "too many hooks wait") for number in (6, 7, 8, 9, 5)
    ]
    await programs.let_go("disconnect", "s1")
    await programs.let_go("connect", "s2")
    assert await asking is True


@pytest.mark.asyncio
async def test_a_hook_that_is_not_configured_is_not_run(programs, events):
    runner = HookRunner(programs, ("disconnect",), events)
    assert not runner.has_connect
    runner.host_update("s1", "alice", {"ID": "s1"})
    await settle()
    assert programs.started == []


@pytest.mark.asyncio
async def test_a_free_place_costs_the_same_however_many_users_wait(runner, programs, monkeypatch):
    for number in range(runner_module.MAX_PROCESSES + 500):
        runner.disconnect(f"s{number}", f"user{number}", {"ID": f"s{number}"})
    await settle()
    asked = []
    may_start = HookRunner._may_start
    monkeypatch.setattr(HookRunner, "_may_start", lambda self, job: asked.append(job.user) or may_start(self, job))
    await programs.let_go("disconnect", "s0")
    assert programs.started[-1] == ("disconnect", f"s{runner_module.MAX_PROCESSES}")
    assert len(asked) <= 2


@pytest.mark.asyncio
async def test_a_user_with_many_hooks_waits_for_the_others_turn(runner, programs):
    for number in range(4):
        runner.disconnect(f"a{number}", "alice", {"ID": f"a{number}"})
    for number in range(runner_module.MAX_PROCESSES):
        runner.disconnect(f"s{number}", f"user{number}", {"ID": f"s{number}"})
    await settle()
    await programs.let_go("disconnect", "a0")
    assert programs.started[-1][1].startswith("s")
