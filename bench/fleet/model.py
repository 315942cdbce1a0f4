# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet asks of its PostgreSQL, from one node to thousands, computed from measured costs of single calls.

The database's work is a sum: each node beats twice a second, each login is admitted and released, each change is
published once and read by every node. What it cannot do with more processors (connections, one row that orders all
changes) is a wall of its own. Nothing here was measured at such a size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from admin_api.fleet.calls import CONNECTIONS as CALLS
from admin_api.fleet.membership.beats import INTERVAL
from admin_api.store.connections.postgresql import CONNECTIONS as POOL
from bench.fleet.setups import ONE, THREE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.report import Report

CORES = 16  # of the primary that the table is for
USABLE = 0.7  # of a primary's processors, before its answers become late
MEMORY = 64e9  # bytes of that primary, of which connections may have a quarter
KEPT_CHANGES = 10_000  # at least, of the log; and two hours of it
KEPT_SECONDS = 7200
CONNECTIONS = 1 + CALLS + 2 * POOL  # of a node at rest: beats, calls, requests and other work


@dataclass(frozen=True, slots=True)
class Inputs:
    """Costs: seconds of processor time, bytes. ``login`` is all that PostgreSQL does for a login and its end."""

    beat: float
    beat_wal: float
    login: float
    admit: float
    admit_wal: float
    claim: float
    claim_wal: float
    release: float
    release_wal: float
    publish: float
    notification: float
    read: float
    session: float
    change: float
    connection: float

    @classmethod
    def of(cls, report: Report) -> Inputs:
        """Raises ``KeyError`` if the report lacks one."""
        costs = {name: row.median(THREE) or 0.0 for name, row in report.rows.items()}
        login = report.rows["logins to an open tunnel: PostgreSQL's CPU each"].median(ONE) or 0.0

        def seconds(name: str) -> float:
            return costs[f"PostgreSQL: {name}"] / 1e6

        def size(name: str) -> float:
            return costs[f"PostgreSQL: {name}"]

        return cls(
            beat=seconds("beat, each"),
            beat_wal=size("beat, each: WAL"),
            login=login / 1e3,
            admit=seconds("admit, each"),
            admit_wal=size("admit, each: WAL"),
            claim=seconds("claim, each"),
            claim_wal=size("claim, each: WAL"),
            release=seconds("release, each"),
            release_wal=size("release, each: WAL"),
            publish=seconds("publish a change, no listener"),
            notification=seconds("a notification, each listener"),
            read=seconds("read a change, each"),
            session=size("storage of a session and its user"),
            change=size("storage of a change"),
            connection=size("memory of a connection") * 1e6,
        )


@dataclass(frozen=True, slots=True)
class Load:
    """A fleet in steady state, or in a storm. Rates per second."""

    nodes: int
    sessions: int
    logins: float
    claims: float = 0.0  # sessions that go on at another node
    changes: float = 1.0  # blocks, penalties, users: told to all nodes


@dataclass(frozen=True, slots=True)
class Demand:
    """Processors by what they do, then bytes and connections."""

    cores: Mapping[str, float]
    wal: float  # bytes a second, without the full pages after a checkpoint
    storage: float
    connections: int
    memory: float  # of connections

    @property
    def all_cores(self) -> float:
        return sum(self.cores.values())

    @property
    def walls(self) -> dict[str, float]:
        """The share of each limit that is used; above 1 the database cannot do it."""
        return {"processors": self.all_cores / (CORES * USABLE), "memory of connections": self.memory / (MEMORY / 4)}


def demand(costs: Inputs, load: Load) -> Demand:
    beats = load.nodes / INTERVAL
    cores = {
        "beats": beats * costs.beat,
        "logins": load.logins * max(costs.login, costs.admit + costs.release),
        "claims": load.claims * costs.claim,
        "changes": load.changes * (costs.publish + load.nodes * (costs.notification + costs.read)),
    }
    wal = beats * costs.beat_wal + load.logins * (costs.admit_wal + costs.release_wal) + load.claims * costs.claim_wal
    log = max(KEPT_CHANGES, KEPT_SECONDS * load.changes) * costs.change
    connections = load.nodes * CONNECTIONS
    return Demand(cores, wal, load.sessions * costs.session + log, connections, connections * costs.connection)


DAY = 8 * 3600  # seconds that a session lasts, so that one in so many logs in each second
STORM = 300  # seconds in which all come back after a power cut, or the clients of a third of the nodes claim
SIZES = ((3, 3_000), (10, 20_000), (100, 100_000), (1_000, 1_000_000))


def loads() -> dict[str, Load]:
    """The rows of the table."""
    found = {}
    for nodes, sessions in SIZES:
        found[f"{nodes} nodes, {sessions} sessions"] = Load(nodes, sessions, sessions / DAY)
    nodes, sessions = SIZES[-1]
    found["the largest, all log in within 5 minutes"] = Load(nodes, sessions, sessions / STORM)
    found["the largest, a third goes on elsewhere within 5 minutes"] = Load(
        nodes, sessions, sessions / DAY, sessions / 3 / STORM
    )
    found["the largest, 200 changes a second"] = Load(nodes, sessions, sessions / DAY, changes=200)
    return found


def render(costs: Inputs) -> str:
    """The table as Markdown, and what is the first to stop it."""
    names = ("beats", "logins", "claims", "changes")
    lines = [
        f"| fleet | {' | '.join(names)} | cores | WAL | storage | connections | fullest |",
        "|---|" + "--:|" * (len(names) + 4) + "---|",
    ]
    for name, load in loads().items():
        found = demand(costs, load)
        wall, share = max(found.walls.items(), key=lambda item: item[1])
        cells = [
            *(f"{found.cores[part]:.3f}" for part in names),
            f"{found.all_cores:.2f}",
            f"{found.wal / 1e6:.2f} MB/s",
            f"{found.storage / 1e6:,.0f} MB".replace(",", " "),
            f"{found.connections:,}".replace(",", " "),
            f"{wall}, {100 * share:.0f} %",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
