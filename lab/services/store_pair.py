# SPDX-License-Identifier: GPL-3.0-or-later
"""Two PostgreSQL servers on machines of their own: a primary, and a standby that can take its place.

Each has its data on a small disk (a tmpfs in a mount namespace of its own), and a wall clock that a test may shift.
Nodes reach them by TCP, through a router; tests, and the standby, by Unix sockets, which no router disturbs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from lab.namespaces import run
from lab.processes.shifted_clock import ShiftedClock
from lab.services.postgresql import ACCOUNT, DATABASE, Postgresql
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    from lab.namespaces import Namespace

DISK = "160m"  # some three times what a new cluster needs
PORT = 5432


class StoreMachine(Postgresql):
    """One of the two. It has no cluster before ``make`` or ``follow``."""

    def __init__(self, folder: Path, machine: Namespace, address: str, networks: str) -> None:
        """``networks``: whose clients it takes."""
        folder.mkdir()
        self.clock = ShiftedClock(folder)
        self._networks = networks
        home = folder / "pg"
        self._data, self._saved = home / "data", home / "saved"
        mount = 'mkdir -p "$0" && mount -t tmpfs -o size="$1",mode=700 none "$0" && chown "$2" "$0" && echo'
        hold = ("setpriv", "--pdeathsig", "KILL", "sh", "-c", f"read _ && {mount} && read _", self._data, DISK, ACCOUNT)
        self._disk = subprocess.Popen(["unshare", "--mount", *hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        inside = f"--mount=/proc/{self._disk.pid}/ns/mnt"
        wrapper = [*self.clock.launcher, "nsenter", inside, f"--net=/run/netns/{machine.name}", "--"]
        super().__init__(home, wrapper=wrapper, address=address, make=False)
        assert self._disk.stdin is not None
        assert self._disk.stdout is not None
        self._disk.stdin.write(b"\n")
        self._disk.stdin.flush()
        self._disk.stdout.readline()  # the disk is there

    def make(self) -> None:
        """A new cluster, which is the primary."""
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D", str(self._data))
        lines = "".join(f"host {what} all {self._networks} trust\n" for what in ("all", "replication"))
        self._write("pg_hba.conf", lines)
        self.start()

    def follow(self, primary: StoreMachine) -> None:
        """Lose all data and become the standby of ``primary``, which runs."""
        self.stop()
        self.wipe()
        self._run("pg_basebackup", "-h", str(primary._folder), "-D", str(self._data), "-R", "-c", "fast", "--no-sync")
        self.start()
        eventually(primary.followers, lambda found: found == ["streaming"], "followed by the standby")

    def followers(self) -> list[str]:
        return [row[0] for row in self.ask("SELECT state FROM pg_stat_replication WHERE application_name <> %s", "x")]

    def wait_for_standby(self, wanted: bool) -> None:
        """Each commit waits for the standby, or none does."""
        value = "*" if wanted else ""
        self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = %s"
        eventually(
            lambda: self.ask(state, "sync" if wanted else "async")[0][0], lambda found: found == 1, "with a standby"
        )

    def promote(self) -> None:
        self.ask("SELECT pg_promote(true, %s)", int(TIMEOUT))
        self.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.ask("SELECT pg_reload_conf()")

    def wipe(self) -> None:
        run(*self._wrapper, "find", str(self._data), "-mindepth", "1", "-delete")

    def fill_disk(self) -> None:
        """Until ``free_disk`` nothing more can be written."""
        run(*self._wrapper, "sh", "-c", 'cat /dev/zero > "$0" || true', str(self._data / "filler"), check=False)

    def free_disk(self) -> None:
        run(*self._wrapper, "rm", "-f", str(self._data / "filler"))

    def backend(self) -> int | None:
        """The process of a connection of a node."""
        statement = "SELECT pid FROM pg_stat_activity WHERE client_addr IS NOT NULL ORDER BY random() LIMIT 1"
        with suppress(psycopg.Error):
            return next((row[0] for row in self.ask(statement)), None)
        return None

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Executes it beside the nodes, whatever befalls their network. Raises ``psycopg.Error``."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=10) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

    def save(self) -> None:
        shutil.rmtree(self._saved, ignore_errors=True)
        super().save()

    def restore(self) -> None:
        """Lose all that was written since ``save``, as a backup of yesterday does."""
        self.kill()
        self.wipe()
        run(*self._wrapper, "cp", "-a", f"{self._saved}/.", str(self._data))
        self.start()

    def close(self) -> None:
        with suppress(OSError):
            self.resume()  # it may hang
        self.stop()
        with suppress(OSError):
            os.kill(self._disk.pid, signal.SIGKILL)
        self._disk.communicate(timeout=TIMEOUT)

    def _write(self, name: str, lines: str) -> None:
        run(*self._wrapper, "sh", "-c", 'cat >> "$0"', str(self._data / name), stdin=lines)


class StorePair:
    """``url`` names both: a node takes the one that can be written to."""

    def __init__(self, one: StoreMachine, other: StoreMachine) -> None:
        self.primary, self.standby = one, other
        one.make()
        other.follow(one)

    @property
    def machines(self) -> tuple[StoreMachine, StoreMachine]:
        return self.primary, self.standby

    @property
    def url(self) -> str:
        hosts = "&".join(f"host={one.address}:{PORT}" for one in sorted(self.machines, key=lambda one: one.address))
        return f"postgresql+psycopg://{ACCOUNT}@/{DATABASE}?{hosts}"

    def fail_over(self, *, synchronous: bool, shift: int = 0) -> None:
        """Kill the primary and promote the standby, whose clock goes wrong by ``shift`` seconds."""
        former, heir = self.primary, self.standby
        if synchronous:
            former.wait_for_standby(True)
        heir.clock.jump(shift)
        former.kill()
        heir.promote()
        self.primary, self.standby = heir, former

    def make_whole(self) -> None:
        """The former primary becomes the standby."""
        self.standby.follow(self.primary)

    def close(self) -> None:
        for one in self.machines:
            one.close()
