# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: schema, transactions, users, audit chain and row ids."""

from __future__ import annotations

import asyncio
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Integer, create_engine, text
from sqlalchemy.exc import IntegrityError

from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.store import Store, UserAttributes, fold_name, migrations
from admin_api.store.audit import digest_of
from admin_api.store.columns import Base, new_id
from admin_api.store.failures import DriverMissingError
from vpn_frontend.auth.password.hash_cost import scheme_of
from vpn_frontend.auth.password.hashes import hash_password

pytestmark = pytest.mark.asyncio
SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


class TestSchema:
    async def test_migrations_make_what_the_models_say(self, store, store_url):
        engine = create_engine(store_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()

    async def test_first_schema_is_upgraded_with_its_rows(self, store_url):
        engine = create_engine(store_url)
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", next(iter(migrations.__path__)))
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            columns = [
                c
                for c in Base.metadata.tables["sessions"].columns
                if not c.name.startswith(("dtls", "resumption", "node"))
            ]
            values = {c.name: 7 if isinstance(c.type, Integer) else "[]" for c in columns}
            values |= dict.fromkeys(("started_at", "seen_at", "ended_at"), "2030-01-01 00:00:00.000000")
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO sessions ({names}) VALUES ({marks})"), values)
        engine.dispose()
        store = await Store.open(store_url)
        async with store.read() as unit:
            (account,) = await unit.sessions.page(past=None, limit=10)
        assert (account.rx_bytes, account.dtls_rx_bytes) == (7, 0)
        await store.close()

    async def test_opening_twice_at_once(self, store_url):
        stores = await asyncio.gather(*(Store.open(store_url) for _ in range(8)))
        for store in stores:
            await store.check()
            await store.close()

    @SQLITE
    async def test_database_is_in_wal_with_foreign_keys(self, store, store_url):
        async with store.read() as unit:
            session = unit.users._session
            pragmas = [
                (await session.connection()).exec_driver_sql(f"PRAGMA {name}")
                for name in ("journal_mode", "foreign_keys")
            ]
            assert [(await pragma).scalar() for pragma in pragmas] == ["wal", 1]

    @SQLITE
    async def test_file_is_only_for_its_owner(self, store, tmp_path):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("ocsentry.db*")}
        assert set(modes.values()) == {0o600}
        assert "ocsentry.db-wal" in modes

    async def test_unusable_database_is_an_error(self, tmp_path):
        (tmp_path / "text.db").write_text("this is not a database, and long enough to be seen as none at all")
        with pytest.raises(Exception, match="not a database"):
            await Store.open(f"sqlite:///{tmp_path / 'text.db'}")

    async def test_a_missing_driver_is_told_in_words(self, monkeypatch):
        for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(DriverMissingError, match=r"psycopg is not installed: pip install 'ocsentry\[postgres\]'"):
            await Store.open("postgresql+psycopg://user@/name")


class TestUnits:
    async def test_an_exception_rolls_back(self, store):
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

    async def test_removal_takes_memberships_along(self, store, execute):
        async with store.write() as unit:
            await unit.users.add("alice", "hash", UserAttributes(groups=("a",)))
        async with store.write() as unit:
            await unit.users.remove(await unit.users.get("alice"))
        assert execute("SELECT count(*) FROM memberships") == [(0,)]

    async def test_naive_time_is_refused(self, store):
        with pytest.raises(Exception, match="no time zone"):
            async with store.write() as unit:
                await unit.users.add("alice", "hash", UserAttributes(expires_at=datetime(2030, 1, 1)))  # noqa: DTZ001


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
            ("UPDATE audit SET digest = :zeros WHERE serial = 5", 5),
        ],
    )
    async def test_tampering_is_detected(self, store, execute, tampering, broken):
        await self.fill(store)
        execute(tampering, **({"zeros": bytes(32)} if ":zeros" in tampering else {}))
        async with store.read() as unit:
            assert await unit.audit.first_broken() == broken

    async def test_a_forged_digest_must_be_forged_to_the_end(self, store):
        await self.fill(store)
        async with store.write() as unit:
            entries = {entry.serial: entry for entry in await unit.audit.page(past=None, limit=10)}
            entries[3].actor = "mallory"
            entries[3].digest = entries[4].previous = digest_of(entries[3])
        async with store.read() as unit:
            assert await unit.audit.first_broken() == 4


class TestBlocks:
    async def test_survive_change_and_go(self, store, store_url):
        entries = [BlockEntry(f"{n}", f"198.51.100.{n}/32", "", "x", store.clock.wall(), None) for n in range(3)]
        async with store.write() as unit:
            await unit.blocks.put(entries)
        async with store.write() as unit:
            await unit.blocks.put([replace(entries[1], reason="new")])
            await unit.blocks.remove(["2", "unknown"])
        await store.close()
        again = await Store.open(store_url)
        async with again.read() as unit:
            rows = await unit.blocks.read_all()
        assert [(row.cidr, row.reason) for row in rows] == [("198.51.100.0/32", ""), ("198.51.100.1/32", "new")]
        await again.close()


async def test_ids_rise():
    made = [new_id() for _ in range(3)]
    await asyncio.sleep(0.002)
    later = new_id()
    assert all(later > earlier for earlier in made)
    assert all(text[14] == "7" and text[19] in "89ab" for text in made)


@pytest.mark.asyncio
async def test_hash_samples_have_one_of_each_imported_scheme(store):
    sha, rounds = "$5$saltsalt$" + "x" * 43, "$6$rounds=656000$saltsalt$" + "x" * 86
    hashes = [sha, sha.replace("x", "y"), rounds, hash_password("secret")]
    async with store.write() as unit:
        for number, encoded in enumerate(hashes):
            await unit.users.add(f"user{number}", encoded, UserAttributes())
    assert sorted(scheme_of(sample) for sample in await store.hash_samples()) == ["$5$", "$6$rounds=656000$"]
