# SPDX-License-Identifier: GPL-3.0-or-later
"""Retransmission, failover, dead time, and hostile servers, over real sockets on loopback."""

from __future__ import annotations

import asyncio

import pytest

from tests.vpn_frontend.radius.scripted_server import SECRET, accept, build_answer, reject, silence
from vpn_frontend.radius import link as link_module
from vpn_frontend.radius.link import Target
from vpn_frontend.radius.packets import Code, Question
from vpn_frontend.radius.servers import NoAnswerError

pytestmark = pytest.mark.asyncio

QUESTION = Question(Code.ACCESS_REQUEST, [("User-Name", "alice")], b"secret")
SHORT = {"timeout": 0.15, "retries": 2}


async def test_a_repetition_has_the_same_bytes(start_server, make_servers):
    server = await start_server(silence, silence, accept())
    answer, number = await make_servers(server.target(timeout=20.0, retries=5)).ask(QUESTION)
    assert (answer.code, number) == (Code.ACCESS_ACCEPT, 0)
    assert len(server.requests) == 3
    assert len(set(server.requests)) == 1


async def test_waits_double_and_add_up_to_the_timeout():
    target = Target(None, SECRET, timeout=15.0, retries=3)
    for waits in (target.intervals() for _ in range(50)):
        for number, wait in enumerate(waits):
            assert 0.89 * 2**number <= wait <= 1.11 * 2**number


@pytest.mark.parametrize(
    "false",
    [
        lambda request: [build_answer(request, 2, secret=b"another")],
        lambda request: [build_answer(request, 2, signed=False)],
        lambda request: [build_answer(request, 2, identifier=(request[1] + 1) % 256)],
        lambda request: [build_answer(request, 2)[:-3]],
        lambda request: [b"", b"x", bytes(5000), request],
    ],
    ids=["wrong authenticator", "unsigned", "wrong identifier", "truncated", "junk"],
)
async def test_a_false_answer_does_not_end_the_wait_for_the_right_one(start_server, make_servers, false):
    server = await start_server(lambda request: [*false(request), *reject()(request), *accept()(request)])
    answer, _ = await make_servers(server.target()).ask(QUESTION)
    assert answer.code is Code.ACCESS_REJECT, "and a second answer changes nothing"


async def test_an_unsigned_server_is_named_once_with_what_to_change(start_server, make_servers, events):
    server = await start_server(accept(signed=False))
    servers = make_servers(server.target(**SHORT))
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            await servers.ask(QUESTION)
    [dropped] = events.of("radius_answer_dropped")
    assert dropped["server"] == str(server.endpoint)
    assert "update reply { &Message-Authenticator := 0x00 }" in dropped["error"]
    assert "require_message_authenticator" in dropped["error"]


async def test_an_unsigned_server_may_be_allowed(start_server, make_servers):
    server = await start_server(accept(signed=False))
    answer, _ = await make_servers(server.target(require_message_authenticator=False)).ask(QUESTION)
    assert answer.code is Code.ACCESS_ACCEPT


async def test_the_next_server_is_asked_and_the_dead_one_rests(start_server, make_servers, events, clock):
    first, second = await start_server(silence), await start_server(accept())
    servers = make_servers(first.target(timeout=2.0, retries=1), second.target())
    assert (await servers.ask(QUESTION))[1] == 1
    asked = len(first.requests)
    assert (await servers.ask(QUESTION))[1] == 1
    assert len(first.requests) == asked, "it is dead"
    assert not servers.all_dead
    [dead] = events.of("radius_server_dead")
    assert (dead["server"], dead["purpose"]) == (str(first.endpoint), "login")
    first.script[:] = [accept()]
    clock.now += 60
    assert (await servers.ask(QUESTION))[1] == 0
    assert [event["server"] for event in events.of("radius_server_alive")] == [str(first.endpoint)]
    assert {data[4:20] for data in first.requests}.isdisjoint(data[4:20] for data in second.requests)


async def test_a_closed_port_gives_way_at_once_only_to_another_server(start_server, make_servers, events):
    gone, second = await start_server(silence), await start_server(accept())
    gone.close()
    servers = make_servers(gone.target(timeout=600.0), second.target())
    async with asyncio.timeout(120):
        assert (await servers.ask(QUESTION))[1] == 1
    assert "refused" in events.of("radius_server_dead")[0]["error"]


async def test_a_server_that_comes_back_answers_a_repetition(start_server, make_servers):
    gone = await start_server(silence)
    endpoint = gone.endpoint
    gone.close()
    asking = asyncio.create_task(make_servers(gone_target(endpoint)).ask(QUESTION))
    await asyncio.sleep(0)
    await start_server(accept(), port=endpoint.port)
    assert (await asking)[0].code is Code.ACCESS_ACCEPT


def gone_target(endpoint):
    return Target(endpoint, SECRET, timeout=60.0, retries=6)


async def test_when_all_are_dead_all_are_asked(start_server, make_servers):
    first, second = await start_server(silence), await start_server(silence)
    servers = make_servers(first.target(**SHORT), second.target(timeout=2.0, retries=1))
    with pytest.raises(NoAnswerError) as failed:
        await servers.ask(QUESTION)
    assert all(str(server.endpoint) in str(failed.value) for server in (first, second))
    assert servers.all_dead
    second.script[:] = [accept()]
    assert (await servers.ask(QUESTION))[1] == 1


async def test_a_login_bound_to_a_server_asks_no_other(start_server, make_servers):
    first, second = await start_server(accept()), await start_server(silence)
    with pytest.raises(NoAnswerError):
        await make_servers(first.target(), second.target(**SHORT)).ask(QUESTION, 1)
    assert first.requests == []


async def test_identifiers_are_never_shared_and_bounded(start_server, make_servers, monkeypatch):
    monkeypatch.setattr(link_module, "MAX_SOCKETS", 2)
    server = await start_server(silence)
    servers = make_servers(server.target(timeout=600.0, retries=0))
    asking = [asyncio.create_task(servers.ask(QUESTION)) for _ in range(512)]
    while len(server.requests) < 512:
        server.arrived.clear()
        await server.arrived.wait()
    with pytest.raises(NoAnswerError, match="512 requests wait"):
        await servers.ask(QUESTION)
    assert not servers.all_dead, "a full queue says nothing about the server"
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    server.script[:] = [accept()]
    assert (await servers.ask(QUESTION))[0].code is Code.ACCESS_ACCEPT
    assert len(set(server.requests)) == 513


async def test_a_late_answer_is_not_taken_for_another_request_s(start_server, make_servers):
    held = []
    server = await start_server(lambda request: held.append(request) or [])
    servers = make_servers(server.target(timeout=0.05, retries=0))
    with pytest.raises(NoAnswerError):
        await servers.ask(QUESTION)
    late = build_answer(held[0], 2)

    def answer_late(request):
        return [late, late[:1] + request[1:2] + late[2:], *reject()(request)]

    server.script[:] = [answer_late]
    servers = make_servers(server.target())
    assert (await servers.ask(QUESTION))[0].code is Code.ACCESS_REJECT


async def test_an_answer_from_another_address_is_not_received(start_server, make_servers, events):
    stranger = await start_server(silence)
    held = []
    server = await start_server(lambda request: held.append(request) or [], reject())
    asking = asyncio.create_task(make_servers(server.target(timeout=20.0, retries=4)).ask(QUESTION))
    while not held:
        server.arrived.clear()
        await server.arrived.wait()
    client = server.clients[0]
    for port in (stranger, server):
        port.transport.sendto(build_answer(held[0], 2 if port is stranger else 3), client)
    assert (await asking)[0].code is Code.ACCESS_REJECT


async def test_close_ends_what_waits(start_server, make_servers):
    server = await start_server(silence)
    servers = make_servers(server.target(timeout=600.0))
    asking = asyncio.create_task(servers.ask(QUESTION))
    await server.arrived.wait()
    servers.close()
    with pytest.raises(NoAnswerError, match="stopping"):
        await asking
