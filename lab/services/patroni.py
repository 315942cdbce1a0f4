# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL on three machines under Debian's Patroni and etcd: a standby takes over when the primary is lost."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.processes.programs import Program
from lab.services.postgresql import ACCOUNT
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.lan import Machine

REST, CLIENTS, PEERS, POSTGRESQL = 8008, 2379, 2380, 5432
ROLE = DATABASE = "ocsentry"
SETTINGS: dict[str, Any] = {
    "ttl": 20,  # seconds that a lost primary keeps its lock; the least that Patroni takes
    "loop_wait": 5,
    "retry_timeout": 5,
    "synchronous_mode": True,  # what was answered is on a standby too
    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 200}},
}


class DatabaseCluster:
    """One member per machine. ``folder`` may be entered by all."""

    def __init__(self, machines: Sequence[Machine], folder: Path) -> None:
        self.machines = machines
        self._folder = folder
        self._etcd = [self._start_etcd(machine) for machine in machines]
        (self._programs,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self._members = {machine.name: self._start_member(machine) for machine in machines}
        self.await_members(len(machines))

    @property
    def url(self) -> str:
        """For a server: all hosts. It takes the one that can be written to."""
        hosts = "&".join(f"host={machine.ipv4}:{POSTGRESQL}" for machine in self.machines)
        return f"postgresql+psycopg://{ROLE}@/{DATABASE}?{hosts}"

    def primary(self) -> Machine | None:
        """The machine whose member says that it is the leader, by a member that can be asked."""
        for asked in self.machines:
            for member in self._cluster(asked):
                if member["role"] == "leader" and member["state"] == "running":
                    return next(machine for machine in self.machines if machine.name == member["name"])
        return None

    def await_members(self, count: int) -> Machine:
        """Waits for a primary and for all others to follow it. Returns the primary."""
        eventually(
            lambda: [
                member for member in self._cluster(self.machines[0]) if member["state"] in ("running", "streaming")
            ],
            lambda found: len(found) == count and any(one["role"] == "leader" for one in found),
            f"{count} members of the database, one of them the leader",
        )
        primary = self.primary()
        assert primary is not None
        return primary

    def make_database(self) -> None:
        """The role and the database of the servers."""
        primary = self.await_members(len(self.machines))
        for statement in (f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE {DATABASE} OWNER {ROLE}"):
            primary.namespace.run(
                str(self._programs / "psql"), "-h", primary.ipv4, "-U", ACCOUNT, "-c", statement, "postgres"
            )

    def await_another(self, former: Machine) -> Machine:
        """Waits until another machine has the primary."""

        def look() -> Machine | None:
            for asked in self.machines:
                if asked is not former:
                    for member in self._cluster(asked):
                        if member["role"] == "leader" and member["name"] != former.name:
                            return next(one for one in self.machines if one.name == member["name"])
            return None

        found = eventually(look, lambda seen: seen is not None, "another primary")
        assert found is not None
        return found

    @staticmethod
    def _cluster(asked: Machine) -> list[dict[str, Any]]:
        try:
            with asked.namespace.entered():
                url = f"http://{asked.ipv4}:{REST}/cluster"
                with urllib.request.urlopen(url, timeout=TIMEOUT / 60) as answer:
                    return list(json.load(answer)["members"])
        except (OSError, ValueError):
            return []

    def _start_etcd(self, machine: Machine) -> Program:
        name, base = machine.name, f"http://{machine.ipv4}"
        members = ",".join(f"{one.name}=http://{one.ipv4}:{PEERS}" for one in self.machines)
        options = {
            "name": name,
            "data-dir": self._folder / f"etcd-{name}",
            "listen-client-urls": f"{base}:{CLIENTS}",
            "advertise-client-urls": f"{base}:{CLIENTS}",
            "listen-peer-urls": f"{base}:{PEERS}",
            "initial-advertise-peer-urls": f"{base}:{PEERS}",
            "initial-cluster": members,
        }
        command = ["etcd", *(f"--{option}={value}" for option, value in options.items())]
        return self._started(Program(f"etcd on {name}", command, machine.namespace), machine)

    def _start_member(self, machine: Machine) -> Program:
        home = self._folder / f"patroni-{machine.name}"
        home.mkdir()
        configuration = home / "patroni.yml"  # JSON is YAML
        configuration.write_text(json.dumps(self._configuration(machine, home)))
        shutil.chown(home, ACCOUNT)
        become = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--"]
        command = [*become, "patroni", str(configuration)]
        return self._started(Program(f"patroni on {machine.name}", command, machine.namespace, cwd=home), machine)

    def _configuration(self, machine: Machine, home: Path) -> dict[str, Any]:
        network = machine.ipv4.rpartition(".")[0] + ".0/24"
        return {
            "scope": "ocsentry",
            "name": machine.name,
            "restapi": {"listen": f"{machine.ipv4}:{REST}", "connect_address": f"{machine.ipv4}:{REST}"},
            "etcd3": {"hosts": [f"{one.ipv4}:{CLIENTS}" for one in self.machines]},
            "bootstrap": {"dcs": SETTINGS, "initdb": [{"encoding": "UTF8"}, {"locale": "C"}]},
            "postgresql": {
                "listen": f"{machine.ipv4}:{POSTGRESQL}",
                "connect_address": f"{machine.ipv4}:{POSTGRESQL}",
                "data_dir": str(home / "data"),
                "bin_dir": str(self._programs),
                "pgpass": str(home / "pgpass"),
                "authentication": {"superuser": {"username": ACCOUNT}, "replication": {"username": "replicator"}},
                "parameters": {"unix_socket_directories": str(home)},
                "pg_hba": [f"host all all {network} trust", f"host replication all {network} trust"],
            },
        }

    @staticmethod
    def _started(program: Program, machine: Machine) -> Program:
        machine.programs.append(program)
        return program
