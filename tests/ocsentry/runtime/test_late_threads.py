# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that start when they are needed: one that the system does not give fails one call, and the next one works."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from admin_api.http.problems import ApiError
from admin_api.store.connections.sqlite_connection import connect
from admin_api.workers import ControlWorker, TrialWorker, start_threads
from ocsentry.outbound.webhook_sender import HttpWebhookSender
from ocsentry.user_files.file_thread import FileThread
from vpn_frontend.auth.ldap.resolver import Resolver
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.hashes import hash_password

PASSWORD = "correct horse battery staple"


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")  # as Python says it for EAGAIN of clone3(2)


async def fails_once(monkeypatch, error, call):
    """Returns what the call returns once there are threads again."""
    with monkeypatch.context() as without:
        without.setattr(threading, "_start_new_thread", refuse)
        with pytest.raises(error) as raised:
            await call()
    assert "no thread" in str(getattr(raised.value, "detail", raised.value))
    async with asyncio.timeout(60):
        return await call()


@pytest.mark.asyncio
async def test_of_passwords(monkeypatch):
    checker, encoded = PasswordChecker(threads=2), hash_password(PASSWORD)
    assert await fails_once(monkeypatch, OSError, lambda: checker.check(encoded, PASSWORD))
    checker.close()


@pytest.mark.asyncio
async def test_of_trials(monkeypatch):
    worker = TrialWorker()

    async def run():
        return await worker.run(lambda _: 7)

    assert await fails_once(monkeypatch, ApiError, run) == 7
    worker.close()


@pytest.mark.asyncio
async def test_of_user_files(monkeypatch):
    thread = FileThread()
    assert await fails_once(monkeypatch, OSError, lambda: thread.run(lambda: 7)) == 7
    thread.close()


@pytest.mark.asyncio
async def test_of_look_ups(monkeypatch):
    resolver = Resolver(lambda _: ["192.0.2.1"])
    assert await fails_once(monkeypatch, OSError, lambda: resolver.find("ldap.example.org")) == ["192.0.2.1"]


@pytest.mark.asyncio
async def test_of_webhooks(monkeypatch):
    with monkeypatch.context() as without:
        without.setattr(threading, "_start_new_thread", refuse)
        with pytest.raises(OSError, match="no thread can be started"):
            await HttpWebhookSender().send("https://192.0.2.1/", {}, b"")


@pytest.mark.asyncio
async def test_of_the_database(monkeypatch, tmp_path):
    async def opened():
        connection = await connect(tmp_path / "store.db")
        await connection.close()
        return True

    assert await fails_once(monkeypatch, sqlite3.OperationalError, opened)


@pytest.mark.asyncio
async def test_of_control_actions_start_with_the_first(monkeypatch):
    worker = ControlWorker()
    await worker.run(int)
    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    meeting = threading.Barrier(3)  # on three threads at once
    assert sorted(await asyncio.gather(*(worker.run(meeting.wait, 60) for _ in range(3)))) == [0, 1, 2]
    worker.close()


def test_a_pool_that_gets_too_few_leaves_none_waiting(monkeypatch):
    begun = threading._start_new_thread
    given = iter([begun, refuse])

    def begin(*arguments):
        return next(given)(*arguments)

    monkeypatch.setattr(threading, "_start_new_thread", begin)
    pool = ThreadPoolExecutor(2)
    with pytest.raises(RuntimeError):
        start_threads(pool, 2)
    monkeypatch.undo()
    pool.shutdown(wait=True)
