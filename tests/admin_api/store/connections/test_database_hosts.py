# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with several hosts: silent ones and those that cannot be written to do not hide the one that can."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing, suppress

import psycopg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from admin_api.fleet.calls import Calls
from admin_api.fleet.link import Link, LinkError, hosts_of
from admin_api.store import Store
from admin_api.store.connections.database_hosts import DatabaseHosts
from lab.services.postgresql import DATABASE, running_postgresql
from lab.timeouts import TIMEOUT, eventually
from vpn_frontend.sessions.fleet.port import FleetSilentError

WHO = "SELECT current_setting('port')"


@pytest.fixture(scope="module")
def primary():
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def standby():
    """Refuses every write, as one that follows a primary does."""
    with running_postgresql() as server:
        with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
        yield server


@pytest.fixture
def silent(tmp_path):
    """A host that takes connections and says nothing. ``asked()``: how many have come."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen(64)
        listener.setblocking(False)
        kept = []

        def asked():
            try:
                while True:
                    kept.append(listener.accept()[0])
            except BlockingIOError:
                return len(kept)

        asked.folder = str(tmp_path)
        yield asked
        for one in kept:
            one.close()


async def until_done(work):
    """Repeats ``work`` while its share of the time for a connection is not enough on this machine."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with suppress(FleetSilentError, OperationalError):
                return await work()


def url_of(*folders):
    hosts = "&".join(f"host={folder}" for folder in folders)
    return f"postgresql+psycopg://postgres@/{DATABASE}?{hosts}"


def folder_of(server):
    return make_url(server.url).query["host"]


def test_each_host_has_its_port_and_has_to_take_writes():
    hosts = DatabaseHosts({"host": "a,b", "port": "1,2", "user": "u"})
    options = [attempt.options for attempt in hosts.in_turn()]
    assert [(one["host"], one["port"], one["target_session_attrs"]) for one in options] == [
        ("a", "1", "read-write"),
        ("b", "2", "read-write"),
    ]
    (first, second) = hosts.in_turn()
    assert (first.left, second.left) == (2, 1)
    hosts.answered(second)
    assert [attempt.options["host"] for attempt in hosts.in_turn()] == ["b", "a"]


def test_what_the_url_says_of_sessions_stays_and_one_host_is_as_it_was():
    chosen = DatabaseHosts({"host": "a,b", "target_session_attrs": "any"}).in_turn()
    assert {attempt.options["target_session_attrs"] for attempt in chosen} == {"any"}
    assert [attempt.options for attempt in DatabaseHosts({"host": "a"}).in_turn()] == [{"host": "a"}]


def test_a_link_passes_a_silent_host_and_a_standby_and_remembers_it(primary, standby, silent):
    link = Link(hosts_of(url_of(silent.folder, folder_of(standby), folder_of(primary))))
    write = "CREATE TABLE IF NOT EXISTS written (at timestamptz)"

    def answered():
        with suppress(LinkError):  # a third of the time may not be enough for the last one
            return link.call(write, (), 3.0)

    try:
        eventually(answered, lambda rows: rows == [], "written")
        before = silent()
        assert before > 0
        link.close()
        assert link.call(write, (), TIMEOUT) == []
        assert silent() == before, "the host that has answered is asked first"
    finally:
        link.close()


def test_a_link_without_a_host_that_takes_writes_says_so(standby):
    link = Link(hosts_of(url_of(folder_of(standby), folder_of(standby))))
    with pytest.raises(LinkError, match="read-only"):
        link.call("SELECT 1", (), TIMEOUT)


@pytest.mark.asyncio
async def test_calls_pass_a_silent_host(primary, standby, silent):
    calls = Calls(url_of(silent.folder, folder_of(standby), folder_of(primary)))
    try:
        assert await until_done(lambda: calls.call(WHO, (), TIMEOUT)) == [("5432",)]
        assert silent() > 0
    finally:
        await calls.close()


@pytest.mark.asyncio
async def test_calls_name_what_the_last_host_said(standby):
    calls = Calls(url_of(folder_of(standby), folder_of(standby)))
    with pytest.raises(FleetSilentError, match="read-only"):
        await calls.call(WHO, (), TIMEOUT)
    await calls.close()


@pytest.mark.asyncio
async def test_a_store_opens_behind_a_standby_and_a_silent_host(primary, standby, silent):
    url = url_of(folder_of(standby), silent.folder, folder_of(primary))
    store = await until_done(lambda: Store.open(url))
    try:
        await until_done(store.check)
        assert silent() > 0
    finally:
        await store.close()
