# SPDX-License-Identifier: GPL-3.0-or-later
"""How long requests wait for a PostgreSQL that hangs, is slow or is busy."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from admin_api.store.connections import waits
from admin_api.store.connections.postgresql import CONNECTIONS
from admin_api.store.connections.waits import Breaker, brief_waits
from admin_api.store.failures import StoreSilentError, is_unavailable
from lab.timeouts import TIMEOUT

pytestmark = pytest.mark.asyncio
LATELY = "the database has not answered lately"


@pytest.fixture
def store_url(postgresql_url):
    return postgresql_url


@contextmanager
def suspended(postgresql):
    postgresql.suspend()
    try:
        yield
    finally:
        postgresql.resume()


async def look(store, statement="SELECT 1"):
    with brief_waits():
        async with store.connected() as connection:
            return await connection.scalar(text(statement))


async def refusal(store):
    """Returns why a request that looks is refused."""
    with pytest.raises(Exception, match=r"\w") as error:
        await look(store)
    assert is_unavailable(error.value)
    return str(error.value)


async def test_requests_are_answered_while_the_database_hangs(server, shared_postgresql, monkeypatch):
    monkeypatch.setattr(waits, "PROBE_PAUSE", 0.2)
    body = {"name": "alice", "password": "correct horse battery"}
    assert (await server.client.get("/api/v1/users")).status_code == 200
    with suspended(shared_postgresql):
        async with asyncio.timeout(TIMEOUT):
            answers = await asyncio.gather(
                *(server.client.get("/api/v1/users") for _ in range(2 * CONNECTIONS)),
                *(server.client.post("/api/v1/users", json=body) for _ in range(4)),
            )
            assert {answer.status_code for answer in answers} == {503}
            answered = [await refusal(server.services.store) for _ in range(waits.FAILURES + 1)]
            assert LATELY in " ".join(answered)
            with pytest.raises(Exception, match=r"\w") as error:
                await server.services.store.find("alice")
            assert is_unavailable(error.value), "a login waits as briefly as a request"
    async with asyncio.timeout(TIMEOUT):
        while (await server.client.get("/api/v1/users")).status_code != 200:  # noqa: ASYNC110 - a state of the breaker
            await asyncio.sleep(0.05)
    assert (await server.client.post("/api/v1/users", json=body)).status_code == 201


async def test_a_slow_statement_of_a_request_ends_and_one_of_other_work_does_not(store):
    async with store.connected() as connection:
        assert await connection.scalar(text("SELECT 'done' FROM pg_sleep(0.6)")) == "done"
    for _ in range(waits.FAILURES):
        with pytest.raises(OperationalError, match="statement timeout"):
            await look(store, "SELECT pg_sleep(60)")
    assert await look(store) == 1, "a server that ends statements answers: it is not away"


async def test_requests_share_a_bounded_number_of_connections_and_leave_other_work_some(store):
    async with AsyncExitStack() as held:
        with brief_waits():
            for _ in range(CONNECTIONS):
                connection = await held.enter_async_context(store.connected())
                await connection.execute(text("SELECT 1"))
        with pytest.raises(Exception, match="QueuePool limit"):
            await look(store)
        async with store.connected() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
    assert await look(store) == 1


async def test_a_request_does_not_wait_long_for_its_turn_to_write(store, monkeypatch):
    monkeypatch.setattr(waits, "TURN_WAIT", 0.05)
    async with store.write():
        with brief_waits(), pytest.raises(StoreSilentError, match="other changes wait"):
            async with store.write():
                pass


async def test_an_open_breaker_lets_one_request_try_each_second():
    now = [0.0]
    breaker = Breaker(lambda: now[0])

    def fail():
        with breaker.guard():
            raise StoreSilentError("no answer")

    for _ in range(waits.FAILURES):
        with pytest.raises(StoreSilentError, match="no answer"):
            fail()
    with pytest.raises(StoreSilentError, match=LATELY):
        fail()
    now[0] += waits.PROBE_PAUSE
    with breaker.guard(), pytest.raises(StoreSilentError, match=LATELY):
        fail()  # one tries, the others do not
    with breaker.guard():
        pass
