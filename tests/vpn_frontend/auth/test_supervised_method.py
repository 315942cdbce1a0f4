# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import Codes, Scripted, outcome_of
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Pending, Unavailable
from vpn_frontend.auth.supervised_method import SupervisedMethod

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))


@pytest.fixture
def reported():
    return []


def supervise(method, reported, deadline=10.0):
    return SupervisedMethod(method, deadline=deadline, report=lambda *report: reported.append(report))


@pytest.mark.asyncio
@pytest.mark.parametrize("wait", [False, True])
async def test_outcomes_pass_through(wait, reported):
    method = supervise(Codes("1", wait=wait), reported)
    challenge = method.begin(LOGIN)
    assert isinstance(challenge, Pending) is wait
    accepted = await outcome_of(method.answer((await outcome_of(challenge)).state, {"answer": "1"}))
    assert accepted.user.name == "alice"
    assert reported == []


@pytest.mark.asyncio
async def test_an_exception_is_reported_and_means_unavailable(reported):
    fault = ConnectionError("gone")
    assert isinstance(supervise(Scripted(fault, name="radius"), reported).begin(LOGIN), Unavailable)
    assert isinstance(supervise(Codes(name="codes"), reported).answer(0, {"answer": "1"}), Unavailable)

    async def fail():
        raise fault

    waiting = await outcome_of(supervise(Scripted(Pending(fail), name="pam"), reported).begin(LOGIN))
    assert isinstance(waiting, Unavailable)
    assert [backend for backend, _ in reported] == ["radius", "codes", "pam"]
    assert reported[0][1] is reported[2][1] is fault


@pytest.mark.asyncio
async def test_a_method_that_hangs_is_ended_and_means_unavailable(reported):
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    method = supervise(Scripted(Pending(hang), name="pam"), reported, deadline=0.01)
    assert isinstance(await outcome_of(method.begin(LOGIN)), Unavailable)
    assert ended.is_set()
    [(backend, error)] = reported
    assert backend == "pam"
    assert isinstance(error, TimeoutError)
