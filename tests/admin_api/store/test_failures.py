# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that is locked or away: what requests, probes and commands are told."""

from __future__ import annotations

import json
import sqlite3

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from admin_api.control.commands import LineCommands
from admin_api.store.database import CHECK_LIFETIME
from admin_api.store.failures import is_unavailable

pytestmark = pytest.mark.asyncio


@pytest.fixture
def store_url(tmp_path):
    return f"sqlite:///{tmp_path / 'ocsentry.db'}"


@pytest.fixture
def locked(server, tmp_path):
    """Another process writes to the database and does not end; no statement waits for it."""

    def without_waiting(connection, *_):
        connection.cursor().execute("PRAGMA busy_timeout = 0")

    event.listen(server.store._engine.sync_engine, "checkout", without_waiting)
    other = sqlite3.connect(tmp_path / "ocsentry.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield other
    other.close()


async def test_a_change_is_503_and_says_when_to_repeat_it(server, locked):
    user = {"name": "alice", "password": "x" * 12}
    answer = await server.client.post("/api/v1/users", json=user)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    locked.execute("ROLLBACK")
    assert (await server.client.post("/api/v1/users", json=user)).status_code == 201


async def test_a_command_is_refused_as_unavailable(server, monkeypatch):
    def away():
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(server.store, "read", away)
    answer = json.loads(await LineCommands(server.services).answer(b'{"command":"reload_rules"}', "me"))
    assert answer["error"] == "unavailable"


async def test_the_server_is_not_ready_while_it_cannot_write(server, locked):
    answer = await server.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["store: database is locked"]
    locked.execute("ROLLBACK")
    assert (await server.client.get("/readyz")).status_code == 200


async def test_probes_do_not_keep_the_disk_busy(store, monkeypatch):
    commits = []
    event.listen(store._engine.sync_engine, "commit", lambda _: commits.append(1))
    now = [0.0]
    monkeypatch.setattr(store, "clock", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    for _ in range(10):
        await store.check()
    assert len(commits) == 1
    now[0] = CHECK_LIFETIME
    await store.check()
    assert len(commits) == 2


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("token", ["ocs_" + "0" * 12 + "_" + "0" * 64, "nonsense"])
async def test_a_probe_with_a_wrong_token_is_answered(server, path, token):
    answer = await server.anonymous.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_needs_no_look_up_of_its_token(server, monkeypatch, path):
    async def away(_):
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(server.store, "token", away)
    assert (await server.client.get(path)).status_code == 200
    assert (await server.client.get("/api/v1/blocks")).status_code == 503


async def test_a_faulty_row_is_no_failure_of_the_database():
    assert not is_unavailable(IntegrityError("INSERT", {}, Exception("unique")))
    assert not is_unavailable(OSError())
