# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL spends on each call of a fleet: the processor time of the one process that executes it, and its WAL.

The calls are those of the nodes, one at a time on one connection, so the figures depend little on other load.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from admin_api.fleet.calls import STATEMENT_TIMEOUT, session_settings
from admin_api.fleet.changes.changes import READ
from admin_api.fleet.membership.beats import BEAT, JOIN
from admin_api.fleet.sessions.admission import ADMIT, CLAIM, RELEASE
from admin_api.store import Store
from bench.workload import Sample
from lab.services.postgresql import running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.services.postgresql import Postgresql

LISTENERS = 50
SOURCE = "198.51.100.1"
PUBLISH = "SELECT fleet.publish_v2(%s, '', '{block}', '{k}', ARRAY[%s]::jsonb[])"
BODY = '{"cidr": "198.51.100.7/32", "seconds": 600, "reason": "Measured", "id": "0123456789abcdef"}'
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


class Client:
    """One connection as a node has it, and what its process in PostgreSQL has spent."""

    def __init__(self, url: str) -> None:
        settings = session_settings(STATEMENT_TIMEOUT)
        self.connection = psycopg.connect(url, autocommit=True, prepare_threshold=None, options=settings)
        (pid,) = self.ask("SELECT pg_backend_pid()")[0]
        self._schedstat = Path(f"/proc/{pid}/schedstat")
        self._memory = Path(f"/proc/{pid}/smaps_rollup")

    def ask(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        return self.connection.execute(statement, values).fetchall()

    def cpu(self) -> float:
        """Seconds."""
        return int(self._schedstat.read_text().split()[0]) / 1e9

    def memory(self) -> int:
        """Bytes of the process, with its share of what it has from its parent, without the buffers of all."""
        (line,) = [line for line in self._memory.read_text().splitlines() if line.startswith("Pss_Anon:")]
        return int(line.split()[1]) << 10

    def wal(self) -> int:
        (written,) = self.ask(WAL)[0]
        return int(str(written))

    def join(self, name: str) -> tuple[int, int]:
        """Returns a node's number and epoch."""
        values = (name, f"instance of {name}", "1.0", "", bytes(32), 10.0)
        row = self.ask(_for_driver(JOIN), values)[0]
        return int(str(row[1])), int(str(row[2]))


def database(calls: int) -> Iterator[Sample]:
    """``calls`` of each kind, on a database of its own."""
    with _fleet_database() as server:
        url = server.url.replace("+psycopg", "")
        client = Client(url)
        me, other = client.join("n1"), client.join("n2")
        yield from _sessions(client, me, other, calls)
        yield from _beats(client, me, calls)
        yield from _changes(client, url, me, calls)
        yield Sample("PostgreSQL: memory of a connection", "MB", client.memory() / 1e6)
        client.connection.close()


def _sessions(client: Client, me: tuple[int, int], other: tuple[int, int], calls: int) -> Iterator[Sample]:
    ids = [secrets.token_bytes(16) for _ in range(calls)]
    before = _size(client)
    yield from _measured(client, "admit", "each", [_admission(me, one, number, 2) for number, one in enumerate(ids)])
    yield Sample("PostgreSQL: storage of a session and its user", "bytes", (_size(client) - before) / calls)
    client.ask("SELECT fleet.leave_v1(%s, %s)", me)  # as a dead node's: none has to let go
    claims = [(CLAIM, (*other, one, bytes(32), SOURCE, 10.0)) for one in ids]
    yield from _measured(client, "claim", "each", claims)
    yield from _measured(client, "release", "each", [(RELEASE, (other[0], one, 2)) for one in ids])


def _admission(me: tuple[int, int], session: bytes, number: int, limit: int) -> tuple[str, tuple[object, ...]]:
    ipv4, ipv6 = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"fd00::{number >> 16:x}:{number & 65535:x}"
    ends = (0.5, 86400.0, 300, 10.0, False)
    of_user = (f"user{number}", "", limit, "deny_new", bytes(32))
    return ADMIT, (*me, session, 1, *of_user, ipv4, ipv6, SOURCE, *ends)


def _beats(client: Client, me: tuple[int, int], calls: int) -> Iterator[Sample]:
    identity = client.join("n1")
    assert identity[0] == me[0]
    yield from _measured(
        client, "beat", "each", [(_for_driver(BEAT), (*identity, "instance of n1", 0, 0, 1000))] * calls
    )


def _changes(client: Client, url: str, me: tuple[int, int], calls: int) -> Iterator[Sample]:
    publications = [(PUBLISH, (me[0], BODY))] * calls
    yield from _measured(client, "publish a change", "no listener", publications)
    with _listeners(url) as waiting:
        before = sum(one.cpu() for one in waiting)
        yield from _measured(client, "publish a change", f"{LISTENERS} listening", publications)
        spent = sum(one.cpu() for one in waiting) - before
    yield Sample("PostgreSQL: a notification, each listener", "us of CPU", 1e6 * spent / calls / LISTENERS)
    (head,) = client.ask("SELECT revision FROM fleet.head")[0]
    reads = [(READ, (int(str(head)) - 1, 1001))] * calls
    yield from _measured(client, "read a change", "each", reads)
    yield Sample("PostgreSQL: storage of a change", "bytes", _table_size(client, "fleet.log") / float(str(head)))


def _measured(client: Client, what: str, how: str, calls: list[tuple[str, tuple[object, ...]]]) -> Iterator[Sample]:
    """The median of ten parts: a part with a checkpoint's full pages in its WAL, or an autovacuum, stands out."""
    cpu, wal = [], []
    size = max(1, len(calls) // 10)
    for start in range(0, len(calls), size):
        part = calls[start : start + size]
        spent, written = client.cpu(), client.wal()
        for statement, values in part:
            client.ask(statement, values)
        cpu.append((client.cpu() - spent) / len(part))
        wal.append((client.wal() - written) / len(part))
    yield Sample(f"PostgreSQL: {what}, {how}", "us of CPU", 1e6 * statistics.median(cpu))
    yield Sample(f"PostgreSQL: {what}, {how}: WAL", "bytes", statistics.median(wal))


@contextmanager
def _fleet_database() -> Iterator[Postgresql]:
    with running_postgresql(durable=True) as server:
        asyncio.run(_make_schema(server.url))
        yield server


async def _make_schema(url: str) -> None:
    await (await Store.open(url)).close()


@contextmanager
def _listeners(url: str) -> Iterator[list[Client]]:
    """Connections of nodes that wait for a notification, as all of a fleet do."""
    waiting = [Client(url) for _ in range(LISTENERS)]
    try:
        for one in waiting:
            one.connection.execute("LISTEN fleet")
        yield waiting
    finally:
        for one in waiting:
            one.connection.close()


def _size(client: Client) -> int:
    return _table_size(client, "fleet.sessions") + _table_size(client, "fleet.users")


def _table_size(client: Client, table: str) -> int:
    return int(str(client.ask("SELECT pg_total_relation_size(%s::regclass)", (table,))[0][0]))


def _for_driver(statement: str) -> str:
    """From libpq's ``$1`` to the driver's own marks."""
    for number in range(9, 0, -1):
        statement = statement.replace(f"${number}", "%s")
    return statement
