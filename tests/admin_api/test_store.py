# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import sqlite3
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Integer, create_engine, text
from sqlalchemy.exc import IntegrityError

import migrations
from admin_api.clock import Clock
from admin_api.store import Store, UserAttributes, fold_name
from admin_api.store.audit import digest_of
from admin_api.store.columns import Base, new_id
from vpn_frontend.gateway import Counters
from vpn_frontend.ports import CloseReason

pytestmark = pytest.mark.asyncio


class TestSchema:
    async def test_migrations_make_what_the_models_say(self, store, store_url):
        engine = create_engine(store_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()

    async def test_first_schema_is_upgraded_with_what_it_holds(self, store_url):
        engine = create_engine(store_url)
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", next(iter(migrations.__path__)))
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            columns = [c for c in Base.metadata.tables["sessions"].columns if not c.name.startswith("dtls")]
            values = {c.name: 7 if isinstance(c.type, Integer) else "[]" for c in columns}
            values |= dict.fromkeys(("started_at", "seen_at", "ended_at"), "2030-01-01 00:00:00.000000")
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO sessions ({names}) VALUES ({marks})"), values)
        engine.dispose()
        store = await Store.open(store_url)
        async with store.read() as unit:
            (account,) = await unit.sessions.page(before=None, limit=10)
        assert (account.rx_bytes, account.dtls_rx_bytes) == (7, 0)
        await store.close()

    async def test_opening_twice_at_once(self, store_url):
        stores = await asyncio.gather(*(Store.open(store_url) for _ in range(3)))
        for store in stores:
            await store.check()
            await store.close()

    async def test_database_is_in_wal_with_foreign_keys(self, store, store_url):
        async with store.read() as unit:
            session = unit.users._session
            pragmas = [
                (await session.connection()).exec_driver_sql(f"PRAGMA {name}")
                for name in ("journal_mode", "foreign_keys")
            ]
            assert [(await pragma).scalar() for pragma in pragmas] == ["wal", 1]

    async def test_file_is_for_its_owner_alone(self, store, tmp_path):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("ocsentry.db*")}
        assert set(modes.values()) == {0o600}
        assert "ocsentry.db-wal" in modes

    async def test_unusable_database_is_an_error(self, tmp_path):
        (tmp_path / "text.db").write_text("this is not a database, and long enough to be seen as none at all")
        with pytest.raises(Exception, match="not a database"):
            await Store.open(f"sqlite:///{tmp_path / 'text.db'}")


class TestUnits:
    async def test_what_raises_is_undone(self, store):
        async def add_and_fail() -> None:
            async with store.write() as unit:
                await unit.users.add("alice", "hash", UserAttributes())
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await add_and_fail()
        assert await store.find("alice") is None

    async def test_writers_of_two_processes_wait_for_each_other(self, store, store_url):
        other = await Store.open(store_url)

        async def add(where: Store, name: str) -> None:
            async with where.write() as unit:
                await unit.users.add(name, "hash", UserAttributes())
                await unit.audit.add("test", "added", name)

        await asyncio.gather(*(add((store, other)[n % 2], f"user{n}") for n in range(20)))
        async with store.read() as unit:
            assert len(await unit.users.page(after=None, limit=100)) == 20
            assert await unit.audit.first_broken() is None
        await other.close()


class TestUsers:
    async def test_round_trip(self, store):
        expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        attributes = UserAttributes(
            groups=("staff", "admins"),
            enabled=False,
            max_same_clients=3,
            ipv4=ip_address("192.168.99.7"),
            ipv6=ip_address("fd00:99::7"),
            expires_at=expires.astimezone(None),
        )
        async with store.write() as unit:
            await unit.users.add("Alice", "hash", attributes)
        record = await store.find("alice")
        assert record.name == "Alice"
        assert record.groups == ("staff", "admins")
        assert (record.enabled, record.max_same_clients, record.expires_at) == (False, 3, expires)
        assert (str(record.ipv4), str(record.ipv6)) == ("192.168.99.7", "fd00:99::7")

    @pytest.mark.parametrize(("one", "other"), [("Alice", "aLICE"), ("MÜLLER", "müller"), ("\uff42ob", "bob")])
    async def test_spellings_are_one_user(self, store, one, other):
        assert fold_name(one) == fold_name(other)
        async with store.write() as unit:
            await unit.users.add(one, "hash", UserAttributes())
        assert (await store.find(other)).name == one
        with pytest.raises(IntegrityError):
            async with store.write() as unit:
                await unit.users.add(other, "hash", UserAttributes())

    async def test_groups_keep_their_order_when_they_change(self, store):
        async with store.write() as unit:
            await unit.users.add("alice", "hash", UserAttributes(groups=("a", "b", "c")))
        async with store.write() as unit:
            await unit.users.replace(await unit.users.get("alice"), UserAttributes(groups=("c", "d", "a", "d")))
        assert (await store.find("alice")).groups == ("c", "d", "a")

    async def test_removal_takes_memberships_along(self, store, store_url):
        async with store.write() as unit:
            await unit.users.add("alice", "hash", UserAttributes(groups=("a",)))
        async with store.write() as unit:
            await unit.users.remove(await unit.users.get("alice"))
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:
            assert raw.execute("SELECT count(*) FROM memberships").fetchone() == (0,)

    async def test_naive_time_is_refused(self, store):
        with pytest.raises(Exception, match="no time zone"):
            async with store.write() as unit:
                await unit.users.add("alice", "hash", UserAttributes(expires_at=datetime(2030, 1, 1)))  # noqa: DTZ001


class TestJournal:
    async def accounts(self, store):
        async with store.read() as unit:
            return list(await unit.sessions.page(before=None, limit=1000))

    async def test_one_start_and_one_stop(self, store, view):
        await store.opened(view())
        await store.opened(view())
        final = view(counters=Counters(rx_bytes=2**40, tx_bytes=7, dtls_tx_bytes=5), transport="none")
        await store.closed(final, CloseReason.LOGOUT)
        await store.closed(view(), CloseReason.KILLED)
        (account,) = await self.accounts(store)
        assert account.end_reason == "logout"
        assert (account.rx_bytes, account.tx_bytes, account.dtls_tx_bytes) == (2**40, 7, 5)
        assert account.transport == "tls"
        assert account.ended_at.tzinfo is UTC

    async def test_stop_without_start_is_a_whole_account(self, store, view):
        await store.closed(view(), CloseReason.FAILED)
        (account,) = await self.accounts(store)
        assert account.end_reason == "failed"

    async def test_checkpoint(self, store, view):
        await store.opened(view())
        await store.checkpoint([view(counters=Counters(rx_bytes=5)), view("unknown")])
        (account,) = await self.accounts(store)
        assert account.rx_bytes == 5
        assert account.ended_at is None
        await store.closed(view(counters=Counters(rx_bytes=9)), CloseReason.LOGOUT)
        await store.checkpoint([view(counters=Counters(rx_bytes=5))])
        assert (await self.accounts(store))[0].rx_bytes == 9

    async def test_orphans_end_when_last_seen(self, store_url, view):
        moments = iter(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(100))
        first = await Store.open(store_url, clock=Clock(wall=lambda: next(moments)))
        await first.opened(view("a"))
        await first.opened(view("b"))
        await first.closed(view("b"), CloseReason.LOGOUT)
        await first.close()
        second = await Store.open(store_url)
        assert await second.close_orphans() == 1
        assert await second.close_orphans() == 0
        b, a = await self.accounts(second)
        assert (a.end_reason, a.ended_at) == ("crashed", a.seen_at)
        assert b.end_reason == "logout"
        await second.close()

    async def test_a_storm_is_written_in_few_transactions(self, store, view, monkeypatch):
        writes = 0
        write = store.write

        def counted():
            nonlocal writes
            writes += 1
            return write()

        monkeypatch.setattr(store, "write", counted)
        await asyncio.gather(*(store.opened(view(f"s{n}")) for n in range(300)))
        assert len(await self.accounts(store)) == 300
        assert writes <= 3

    async def test_a_bad_report_harms_only_its_own(self, store, view):
        bad = replace(view("bad"), user=object())
        results = await asyncio.gather(
            store.opened(view("a")), store.opened(bad), store.opened(view("b")), return_exceptions=True
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, False]
        assert {account.id for account in await self.accounts(store)} == {"a", "b"}

    async def test_close_waits_for_what_was_reported(self, store_url, view):
        store = await Store.open(store_url)
        reports = [asyncio.create_task(store.opened(view(f"s{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*reports)
        again = await Store.open(store_url)
        assert len(await self.accounts(again)) == 10
        await again.close()


class TestAudit:
    async def fill(self, store):
        for n in range(5):
            async with store.write() as unit:
                await unit.audit.add("alice", "did", f"thing {n}", count=n, why={"é": [1.5, None]})

    async def test_chain_holds(self, store):
        await self.fill(store)
        async with store.read() as unit:
            assert await unit.audit.first_broken() is None

    @pytest.mark.parametrize(
        ("tampering", "broken"),
        [
            ("UPDATE audit SET actor = 'mallory' WHERE serial = 3", 3),
            ("UPDATE audit SET detail = '{}' WHERE serial = 1", 1),
            ("DELETE FROM audit WHERE serial = 2", 2),
            ("DELETE FROM audit WHERE serial = 1", 1),
            ("UPDATE audit SET digest = zeroblob(32) WHERE serial = 5", 5),
        ],
    )
    async def test_tampering_shows(self, store, store_url, tampering, broken):
        await self.fill(store)
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:
            raw.execute(tampering)
        async with store.read() as unit:
            assert await unit.audit.first_broken() == broken

    async def test_a_forged_digest_must_be_forged_to_the_end(self, store):
        await self.fill(store)
        async with store.write() as unit:
            entries = {entry.serial: entry for entry in await unit.audit.page(before=None, limit=10)}
            entries[3].actor = "mallory"
            entries[3].digest = entries[4].previous = digest_of(entries[3])
        async with store.read() as unit:
            assert await unit.audit.first_broken() == 4


class TestBlocks:
    async def test_survive_and_page(self, store, store_url):
        async with store.write() as unit:
            for n in range(3):
                await unit.blocks.add(ip_network(f"198.51.100.{n}/32"), reason="", created_by="x", expires_at=None)
        await store.close()
        again = await Store.open(store_url)
        async with again.read() as unit:
            first = await unit.blocks.page(after=None, limit=2)
            rest = await unit.blocks.page(after=first[-1].id, limit=2)
        assert [b.cidr for b in (*first, *rest)] == [f"198.51.100.{n}/32" for n in range(3)]
        await again.close()


async def test_ids_rise():
    made = [new_id() for _ in range(3)]
    await asyncio.sleep(0.002)
    later = new_id()
    assert all(later > earlier for earlier in made)
    assert all(text[14] == "7" and text[19] in "89ab" for text in made)
