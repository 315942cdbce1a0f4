# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured beside each other: fleets of three nodes and of one, and single servers on either database.

Each is in networks of its own, with a PostgreSQL of its own that writes to the disk (``fsync``). A client's host for
each node has the server's address lead to it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text

from bench import load_client
from bench.cpu_usage import CpuUsage
from bench.settling import settle
from lab.fleet import FleetLab, make_fleet_template
from lab.namespaces import Claim
from lab.network import Network
from lab.server import PASSWORD, Server, make_template
from lab.services.postgresql import running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lab.network import Host
    from lab.services.postgresql import Postgresql

USER = "bench"
USERS = 64  # copies of USER: an account's admissions wait for each other, those of others do not
INNER_IPV4 = "10.89.0.1"
THREE, ONE, POSTGRESQL, SQLITE = "fleet of 3", "fleet of 1", "PostgreSQL alone", "SQLite alone"
NODES = {THREE: 3, ONE: 1, POSTGRESQL: 0, SQLITE: 0}
QUIET = 0.06  # processor time of a node in a window: it beats, and is otherwise idle
SETTINGS: dict[str, dict[str, Any]] = {
    "vpn.network": {"ipv4_pool": "10.89.0.0/16", "ipv6_pool": "fd89::/64", "dns": []},
    "vpn.limits": {"max_clients": 4096, "max_same_clients": 8},
    "vpn.session": {"cookie_timeout": 300},
}


@dataclass
class Setup:
    """Running servers that act as one. ``hosts[i]`` is a client's machine whose server is ``servers[i]``."""

    label: str
    servers: list[Server]
    hosts: list[Host]
    database: Postgresql | None
    _usages: list[CpuUsage]
    _database_usage: CpuUsage | None
    user: str = USER
    password: str = PASSWORD
    inner_ipv4: str = INNER_IPV4

    def cpu(self) -> float:
        """Processor seconds of all servers so far."""
        return sum(usage.seconds() for usage in self._usages)

    def database_cpu(self) -> float:
        """Processor seconds of all processes of PostgreSQL so far; 0 without one."""
        return self._database_usage.seconds() if self._database_usage else 0.0

    @property
    def logins_of_all(self) -> tuple[str, ...]:
        """Options of the load client: each login is the next user's."""
        return ("-t", str(USERS))

    def warm_up(self) -> None:
        """Have each node verify each user's password once in full: it remembers them then."""
        for host in self.hosts:
            while self._login_each(host) < USERS:
                pass

    def _login_each(self, host: Host) -> int:
        return load_client.run("login", host.namespace, self, threads=4, seconds=1.0, more=self.logins_of_all).count

    def settle(self) -> float:
        """Wait until the servers have done what follows their last answers, so that it is charged to the right work.

        Returns the share of all processors that others used in the last half second.
        """
        return settle(self._all_cpu, QUIET * len(self.servers))

    def _all_cpu(self) -> float:
        return self.cpu() + self.database_cpu()


class Setups:
    """Opens ``labels``; ``close`` ends all. Needs root."""

    def __init__(self, folder: Path, labels: Iterable[str]) -> None:
        self._made = ExitStack()
        try:
            self.all = [self._open(label, folder / label.replace(" ", "-")) for label in labels]
        except BaseException:
            self._made.close()
            raise

    def close(self) -> None:
        self._made.close()

    def _open(self, label: str, folder: Path) -> Setup:
        folder.mkdir()
        claim = Claim()
        self._made.callback(claim.release)
        network = Network(claim)
        self._made.callback(network.close)
        nodes = NODES[label]
        database = None if label == SQLITE else self._made.enter_context(running_postgresql(durable=True))
        self._made.callback(_end_programs, network)
        servers, hosts = _serve(network, claim, folder, nodes, database)
        usages = [self._counted(server.program.process.pid) for server in servers]
        database_usage = None if database is None else self._counted(database.pid)
        setup = Setup(label, servers, hosts, database, usages, database_usage)
        setup.warm_up()
        return setup

    def _counted(self, pid: int) -> CpuUsage:
        usage = CpuUsage(pid)
        self._made.callback(usage.close)
        return usage


def _serve(
    network: Network, claim: Claim, folder: Path, nodes: int, database: Postgresql | None
) -> tuple[list[Server], list[Host]]:
    if database is None:
        (folder / "template").mkdir()
        template = make_template(folder / "template", [USER])
    else:
        template = make_fleet_template(folder / "template", database.url, [USER])
    _copy_user(f"sqlite:///{template.folder}/ocsentry.db" if database is None else database.url)
    if not nodes or database is None:
        store = {} if database is None else {"store": {"url": database.url}}
        server = Server(network, folder / "server", template, settings={**SETTINGS, **store}, builtin_limits=False)
        return [server], [network.add_host()]
    fleet = FleetLab(network, claim, template, folder, database)
    servers = [fleet.add_node(f"n{number}", settings=SETTINGS, builtin_limits=False) for number in range(1, nodes + 1)]
    hosts = []
    for number in range(nodes):
        host = network.add_host()
        fleet.wire(host)
        fleet.move_to_node(host, number)
        hosts.append(host)
    return servers, hosts


def _copy_user(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        user = connection.execute(text("SELECT * FROM users WHERE key = :key"), {"key": USER}).mappings().one()
        kept = ", ".join(column for column in user if column not in ("id", "key", "name"))
        for number in range(USERS):
            copy = f"INSERT INTO users (key, name, {kept}) SELECT :name, :name, {kept} FROM users WHERE key = :key"
            connection.execute(text(copy), {"name": f"{USER}{number}", "key": USER})
    engine.dispose()


def _end_programs(network: Network) -> None:
    for program in network.programs:
        if program.running:
            program.kill()
