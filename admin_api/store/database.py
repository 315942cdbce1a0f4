# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: one SQL database, used in units of work that are committed as a whole or not at all.

Reads run concurrently. Writes run one at a time: SQLite has one writer, and the audit chain needs an order. A write
transaction takes its lock at the start: a writer waits for a busy database before it has done any work. SQLite runs
in WAL mode, so a reader never waits for a writer. A commit is on disk before it is reported (``synchronous=FULL``): a
block that was answered survives a power cut.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from admin_api.clock import SYSTEM_CLOCK, Clock
from admin_api.store.accounting.journal import record
from admin_api.store.connections.server_claim import ServerClaim
from admin_api.store.connections.sqlite_connection import connect
from admin_api.store.connections.waits import Breaker, brief, brief_waits, turn_of
from admin_api.store.damage import check_file, damage_told
from admin_api.store.failures import DriverMissingError
from admin_api.store.identities.devices import RecentDevices
from admin_api.store.read_cache import ReadCache
from admin_api.store.schema import is_contended, upgrade
from admin_api.store.turns import SCHEMA, take_turn
from admin_api.store.unit_of_work import UnitOfWork
from vpn_frontend.sessions.limits.usage import local_day

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from admin_api.store.tables import Rule, Token
    from vpn_frontend.ports import JournalEntry, OpenRecord, Usage, UserRecord
    from vpn_frontend.settings import Address, Overrides

BUSY_TIMEOUT = 5.0  # seconds to wait for another writing process, such as the command line
TOKEN_LIFETIME = 1.0  # seconds that the rows of tokens and rules are cached
CHECK_LIFETIME = 5.0  # seconds that a successful check counts
UPGRADE_TIMEOUT = 30.0  # seconds to try an upgrade whose tables others use
UPGRADE_PAUSE = 0.02  # seconds between two attempts
WRITES = "ocsentry_writes"  # execution option of a connection that opens a write transaction


class Store:
    """Owns the database. Implements the VPN's ``UserDirectory`` and ``SessionJournal``."""

    def __init__(
        self,
        engine: AsyncEngine,
        clock: Clock = SYSTEM_CLOCK,
        node: str = "",
        *,
        for_requests: AsyncEngine | None = None,
    ) -> None:
        """``for_requests``: has connections for requests of the API; ``None``: they are as all other work."""
        self._engine = engine
        self._for_requests = for_requests
        self._breaker = Breaker(clock.monotonic)
        self.node = node  # the name of this server in its fleet; empty: there is none
        self.origin = token_hex(8)  # of this process, in the changes that it makes
        self.claim = ServerClaim(engine, shared=bool(node))
        self._writing = asyncio.Lock()
        self._checking = asyncio.Lock()
        self._checked_until = float("-inf")
        self.clock = clock
        self.revision_before: str | None = None  # of the schema, when it was opened; ``None``: it was new
        self.published = 0  # revision of the newest change that this node gave its fleet
        self.accounting = False  # new sessions are noted for an accounting ledger
        self.recent_devices = RecentDevices()
        self.accounts_changed: Callable[[], None] = _do_nothing  # called once sessions are written
        self._user_cache: ReadCache[UserRecord] = ReadCache()
        self._token_cache: ReadCache[Token] = ReadCache(lifetime=TOKEN_LIFETIME)
        self._rule_cache: ReadCache[Sequence[Rule]] = ReadCache(lifetime=TOKEN_LIFETIME)

    @classmethod
    async def open(cls, url: str, *, clock: Clock = SYSTEM_CLOCK, serving: bool = False, node: str = "") -> Self:
        """Open the database of ``url`` (``sqlite:///file`` or ``postgresql+psycopg://...``) and upgrade its schema.

        ``serving``: for a server, which claims the database for itself and checks the file first. ``node``: its name
        in a fleet, whose nodes share the database. Raises ``StoreInUseError``, ``StoreDamagedError``,
        ``StoreNewerError``, ``DriverMissingError``, or the database's error.
        """
        parsed = _with_driver(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            # Created here with mode 0600, because it holds password hashes; SQLite gives its journals the same mode.
            await asyncio.to_thread(Path(parsed.database).touch, mode=0o600)
        engine, for_requests = _make_engines(parsed)
        store = cls(engine, clock, node, for_requests=for_requests)
        try:
            with damage_told(parsed.database):
                if serving:
                    await store.claim.take()
                    await check_file(engine, parsed.database)
                store.revision_before = await _upgrade(parsed, engine)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self.claim.release()
        await self._engine.dispose()
        if self._for_requests is not None:
            await self._for_requests.dispose()

    async def check(self) -> None:
        """Write and commit a row as it is. Raises the database's error if it cannot: locked, away, or disk full.

        A success counts for ``CHECK_LIFETIME``, so that probes cannot keep the disk busy.
        """
        async with self._checking:
            if self.clock.monotonic() < self._checked_until:
                return
            async with self._use(writes=True) as engine, engine.connect() as connection:
                await connection.execution_options(**{WRITES: True})
                async with connection.begin():
                    await connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            self._checked_until = self.clock.monotonic() + CHECK_LIFETIME

    @asynccontextmanager
    async def _use(self, *, writes: bool = False) -> AsyncIterator[AsyncEngine]:
        """Yields the engine for a request or for other work, with the turn to write."""
        bounded = self._for_requests is not None and brief()
        with self._breaker.guard() if bounded else nullcontext():
            async with turn_of(self._writing, bounded=bounded) if writes else nullcontext():
                yield self._for_requests if bounded and self._for_requests is not None else self._engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        """Yields a unit of work on a consistent view; changes in it are discarded."""
        async with self._use() as engine, AsyncSession(engine, expire_on_commit=False) as session:
            yield UnitOfWork(session, self.clock, self.node, self.origin)

    @asynccontextmanager
    async def connected(self, *, writes: bool = False) -> AsyncIterator[AsyncConnection]:
        """Yields a connection in one transaction, for work on whole tables. ``writes``: it is committed at the end."""
        async with self._use(writes=writes) as engine, engine.connect() as connection:
            level = {} if writes or connection.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
            await connection.execution_options(**{WRITES: writes}, **level)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        """Yields a unit of work: committed when the block ends, rolled back if it raises."""
        async with self._use(writes=True) as engine, AsyncSession(engine, expire_on_commit=False) as session:
            await session.connection(execution_options={WRITES: True})
            unit = UnitOfWork(session, self.clock, self.node, self.origin)
            try:
                yield unit
                if unit.rules.changed and not unit.changes.tells_of("rules"):
                    unit.changes.note("rules", "")
                await unit.changes.publish()
                await session.commit()
                self.published = max(self.published, unit.changes.revision)
            finally:
                if unit.users.changed:
                    self._user_cache.clear()
                if unit.devices.forgotten:
                    self.recent_devices.clear()
                if unit.rules.changed:
                    self._rule_cache.clear()
                if unit.tokens.changed:
                    self._token_cache.clear()

    async def find(self, name: str) -> UserRecord | None:
        """Returns the user's row, for a login: it waits for the database as briefly as a request does."""
        with brief_waits():
            return await self._user_cache.find(name, self.clock.monotonic(), self._read_user)

    def forget_users(self) -> None:
        """Read users from the database from now on: another node has changed some."""
        self._user_cache.clear()

    def recall(self, name: str) -> UserRecord | None:
        return self._user_cache.recall(name, self.clock.monotonic())

    async def group_overrides(self) -> dict[str, Overrides]:
        """Returns what the groups made over the API set, by name."""
        async with self.read() as unit:
            return await unit.groups.overrides()

    async def hash_samples(self) -> Sequence[str]:
        async with self.read() as unit:
            return await unit.users.hash_samples()

    async def token(self, token_id: str) -> Token | None:
        """Returns the row of a token; do not change it.

        A token revoked by this process is gone at once, one revoked by another process within ``TOKEN_LIFETIME``.
        """
        return await self._token_cache.find(token_id, self.clock.monotonic(), self._read_token)

    async def rules(self) -> Sequence[Rule]:
        """Returns all rules made over the API, by id; do not change them. As fresh as ``token``."""
        return await self._rule_cache.find("", self.clock.monotonic(), self._read_rules) or ()

    async def record(self, entries: Sequence[JournalEntry]) -> Sequence[tuple[JournalEntry, Exception]]:
        left_out = await record(self, entries)
        self.accounts_changed()
        return left_out

    async def used_so_far(self) -> Mapping[str, Usage]:
        today = local_day(self.clock.wall())
        async with self.write() as unit:
            await unit.usage.forget_before(today.replace(day=1))
            return await unit.usage.so_far(today)

    async def has_logged_in(self, user: str, address: Address) -> bool:
        record = await self.find(user)
        async with self.read() as unit:
            return await unit.sessions.came_from(user if record is None else record.name, address)

    async def open_records(self) -> Sequence[OpenRecord]:
        async with self.read() as unit:
            return await unit.sessions.open_records()

    async def close_orphans(self, keep: Collection[str] = ()) -> int:
        async with self.write() as unit:
            count = await unit.sessions.close_orphans(keep)
        self.accounts_changed()
        return count

    async def _read_rules(self, _: str) -> Sequence[Rule]:
        async with self.read() as unit:
            return sorted(await unit.rules.read_all(), key=lambda rule: rule.id)

    async def _read_token(self, token_id: str) -> Token | None:
        async with self.read() as unit:
            return await unit.tokens.get(token_id)

    async def _read_user(self, name: str) -> UserRecord | None:
        async with self.read() as unit:
            return await unit.users.record(name)


def _make_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine | None]:
    """Returns the engine, and the one for requests if they have one. Raises ``DriverMissingError``."""
    try:
        if url.get_backend_name() == "postgresql":
            from admin_api.store.connections.postgresql import make_engines  # noqa: PLC0415 - the driver may be missing

            return make_engines(url)
        engine = create_async_engine(
            url, pool_use_lifo=True, hide_parameters=True, connect_args={"async_creator_fn": connect}
        )
    except ModuleNotFoundError as error:
        detail = f"store.url: {error.name} is not installed: pip install 'ocsentry[postgres]'"
        raise DriverMissingError(detail) from error
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine, None


def _do_nothing() -> None:
    """No ledger watches the sessions."""


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    return parsed.set(drivername="sqlite+aiosqlite") if parsed.drivername == "sqlite" else parsed


async def _upgrade(url: URL, engine: AsyncEngine) -> str | None:
    """Upgrade the schema, however long the statements of that take. Returns the revision before."""
    if url.get_backend_name() != "postgresql":
        return await _upgrade_schema(engine)
    from admin_api.store.connections.postgresql import make_migration_engine  # noqa: PLC0415 - the driver may be missing

    patient = make_migration_engine(url)
    try:
        return await _upgrade_schema(patient)
    finally:
        await patient.dispose()


async def _upgrade_schema(engine: AsyncEngine) -> str | None:
    """Upgrade the schema. Waits for another process that upgrades the same new database. Returns the revision before.

    SQLite's busy timeout does not cover the change to WAL mode: two processes would deadlock, so SQLite reports
    "database is locked" to one of them at once. PostgreSQL's nodes of the version before go on while this one upgrades:
    it gives the tables back to them when it does not get all, and tries again.
    """
    patience = UPGRADE_TIMEOUT if engine.dialect.name == "postgresql" else BUSY_TIMEOUT
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execution_options(**{WRITES: True})
                async with connection.begin():
                    await take_turn(connection, SCHEMA)
                    return await connection.run_sync(upgrade)
        except OperationalError as error:
            if not is_contended(error) or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(UPGRADE_PAUSE)


def _set_pragmas(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection class
    connection.isolation_level = None  # the driver opens no transaction; _begin does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # A large batch would otherwise write a temporary file, which Landlock refuses: "unable to open database file".
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
